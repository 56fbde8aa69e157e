"""Features in the shards of the original toolkit."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import StoreError
from mmvt.processors.video.shards import ShardedVideoProcessor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one training and one validation shard of two videos each."""
    for split, first in (("train", 0), ("val", 10)):
        ids = {0: [f"{split}_a", f"{split}_b"]}
        (tmp_path / f"{split}_meta.pkl").write_bytes(pickle.dumps(ids))
        rows = np.arange(first, first + 6, dtype=np.float16).reshape(3, 2)
        np.save(tmp_path / f"{split}_0_data.npy", rows)
        np.save(tmp_path / f"{split}_0_starts.npy", np.array([0, 1, 3]))
    return tmp_path


def test_a_video_is_a_row_a_second(folder: Path):
    videos = ShardedVideoProcessor(split="train", vfeat_dir=folder)
    assert videos.fps == 1
    assert videos("train_b").tolist() == [[2, 3], [4, 5]]
    assert "train_a" in videos
    assert "val_a" not in videos


@pytest.mark.parametrize("split", ["valid", "test"])
def test_validation_and_testing_read_the_same_shards(folder: Path, split: str):
    videos = ShardedVideoProcessor(split=split, vfeat_dir=folder)  # type: ignore[arg-type]
    assert videos("val_a").tolist() == [[10, 11]]


def test_an_unknown_video_is_named(folder: Path):
    with pytest.raises(StoreError, match="there is no video 'val_a' in train"):
        ShardedVideoProcessor(split="train", vfeat_dir=folder)("val_a")
