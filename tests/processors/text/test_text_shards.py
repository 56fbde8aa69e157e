from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import DataError, StoreError
from mmvt.processors.text.shards import ShardedTextProcessor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one training and one validation shard of two videos each."""

    def save(name: str, data: np.ndarray, starts: list[int]) -> None:
        np.save(tmp_path / f"{name}_data.npy", data)
        np.save(tmp_path / f"{name}_starts.npy", np.array(starts))

    for split, first in (("train", 10), ("val", 20)):
        ids = {0: [f"{split}_a", f"{split}_b"]}
        (tmp_path / f"{split}_meta.pkl").write_bytes(pickle.dumps(ids))
        save(f"{split}_0", np.ones((3, 2), np.float16), [0, 1, 3])
        times = np.array([[0, 1.5], [0, 2], [2, 4.25]], np.float32)
        save(f"text.{split}_0.startends", times, [0, 1, 3])
        words = [[first, -1, -1], [first + 1, first + 2, -1], [-1, -1, -1]]
        save(f"text.{split}_0.caps_ids", np.array(words, np.int32), [0, 1, 3])
    return tmp_path


def test_the_captions_of_a_video_lose_their_padding(folder: Path) -> None:
    texts = ShardedTextProcessor(split="train", vfeat_dir=folder, tfeat_dir=f"{folder}/text.")
    clips = texts("train_b")
    assert clips.start.tolist() == [0, 2]
    assert clips.end.tolist() == [2, 4.25]
    assert clips.cap == [[11, 12], []]


@pytest.mark.parametrize("split", ["valid", "test"])
def test_validation_and_testing_read_the_same_shards(folder: Path, split: str) -> None:
    texts = ShardedTextProcessor(split=split, vfeat_dir=folder, tfeat_dir=f"{folder}/text.")
    assert texts("val_a").cap == [[20]]


def test_an_unknown_video_is_named(folder: Path) -> None:
    texts = ShardedTextProcessor(split="train", vfeat_dir=folder, tfeat_dir=f"{folder}/text.")
    with pytest.raises(DataError, match=r"no captions: .* 'val_a' in train"):
        texts("val_a")


def test_a_missing_text_shard_is_named(folder: Path) -> None:
    texts = ShardedTextProcessor(split="train", vfeat_dir=folder, tfeat_dir=f"{folder}/other.")
    with pytest.raises(StoreError, match=r"other\.train_0\.startends"):
        texts("train_a")
