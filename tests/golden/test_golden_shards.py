"""The golden case ``shards``: a data set as the original wrote it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.original_shards import OriginalStore, OriginalTexts
from mmvt.datasets.sharded_tensor import ShardedTensor, all_finite

pytestmark = pytest.mark.golden
TEXTS = "raw_caption_dedup.bert-base-uncased."


@pytest.fixture
def folder(shared: Path) -> Path:
    return shared / "golden" / "shards"


@pytest.mark.parametrize("split", ["train", "val"])
def test_ids_starts_and_rows_are_those_of_the_original(folder: Path, split: str):
    expected = json.loads((folder / "expected.json").read_text())[split]
    store = OriginalStore(folder, split)
    assert store.ids == [video for shard in expected.values() for video in shard["ids"]]
    for number, shard in expected.items():
        tensor = store.shard(int(number))
        assert tensor.starts.tolist() == shard["starts"]
        assert [len(item) for item in tensor] == shard["lengths"]
        assert (str(tensor.data.dtype), list(tensor.data.shape)) == (shard["dtype"], shard["shape"])
        assert tensor.data.mean(dtype=np.float32) == pytest.approx(shard["mean"], abs=1e-5)
        for video, length in zip(shard["ids"], shard["lengths"], strict=True):
            assert len(store[video]) == length


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_video_has_captions_in_time_order(folder: Path, split: str):
    store = OriginalStore(folder, split)
    texts = OriginalTexts(f"{folder}/{TEXTS}", store)
    for video in store.ids:
        clips = texts[video]
        assert len(clips) > 0
        assert (np.diff(clips.start) >= 0).all()
        assert all(0 < len(words) <= 32 and min(words) > 0 for words in clips.cap)


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_list_of_a_split_names_the_videos_of_its_shards(folder: Path, split: str):
    listed = (folder / f"how2_s3d_{split}.lst").read_text().split()
    assert sorted(listed) == sorted(OriginalStore(folder, split).ids)


def test_the_retrieval_list_names_every_training_video_three_times(folder: Path):
    listed = Counter((folder / "retri_train.lst").read_text().split())
    assert listed == dict.fromkeys(OriginalStore(folder, "train").ids, 3)


def test_every_array_of_the_folder_opens_as_a_shard(folder: Path):
    prefixes = sorted(folder.glob("*_data.npy"))
    assert len(prefixes) == 12
    for path in prefixes:
        tensor = ShardedTensor.open(folder / path.name.removesuffix("_data.npy"))
        assert sum(map(len, tensor)) == len(tensor.data)
        assert all_finite(tensor.data)
