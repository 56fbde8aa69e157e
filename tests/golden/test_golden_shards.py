"""The golden case ``shards``: a data set as the original wrote it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.original_shards import OriginalStore
from mmvt.datasets.sharded_tensor import ShardedTensor, all_finite
from mmvt.processors.meta.how2 import read_ids
from mmvt.processors.text.shards import ShardedTextProcessor
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden
SPLITS = {"train": "train", "val": "valid"}


@pytest.fixture
def names(golden: Golden) -> list[str]:
    """Return the names of the files of the case."""
    return [Path(file).name for file in golden.manifest["cases"]["shards"]["files"]]


@pytest.fixture
def folder(golden: Golden) -> Path:
    return golden.path("shards/expected.json").parent


@pytest.mark.parametrize("split", SPLITS)
def test_ids_starts_and_rows_are_those_of_the_original(golden: Golden, folder: Path, split: str):
    recorded = golden.json("shards/expected.json")
    assert set(recorded) == set(SPLITS)
    expected = recorded[split]
    golden.path(f"shards/{split}_meta.pkl")
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


@pytest.mark.parametrize("split", SPLITS)
def test_every_video_has_captions_in_time_order(folder: Path, names: list[str], split: str):
    (prefix,) = {
        name.partition(f"{split}_")[0] for name in names if ".caps_ids_" in name and split in name
    }
    store = OriginalStore(folder, split)
    texts = ShardedTextProcessor(
        split=SPLITS[split],  # type: ignore[arg-type]
        vfeat_dir=folder,
        tfeat_dir=f"{folder}/{prefix}",
    )
    for video in store.ids:
        clips = texts(video)
        assert len(clips) > 0
        assert (np.diff(clips.start) >= 0).all()
        assert all(clips.start <= clips.end)
        assert all(len(words) > 0 and min(words) > 0 for words in clips.cap)


@pytest.mark.parametrize("split", SPLITS)
def test_the_list_of_a_split_names_the_videos_of_its_shards(
    golden: Golden, folder: Path, split: str
):
    listed = read_ids(golden.path(f"shards/how2_s3d_{split}.lst"))
    assert sorted(listed) == sorted(OriginalStore(folder, split).ids)


def test_the_retrieval_list_names_every_training_video_equally_often(golden: Golden, folder: Path):
    listed = Counter(read_ids(golden.path("shards/retri_train.lst")))
    assert set(listed) == set(OriginalStore(folder, "train").ids)
    assert len(set(listed.values())) == 1


def test_every_array_of_the_folder_opens_as_a_shard(golden: Golden, names: list[str]):
    arrays = [name for name in names if name.endswith(".npy")]
    prefixes = {name.removesuffix("_data.npy") for name in arrays if name.endswith("_data.npy")}
    assert sorted(arrays) == sorted(
        f"{p}_{part}.npy" for p in prefixes for part in ("data", "starts")
    )
    for prefix in prefixes:
        golden.path(f"shards/{prefix}_starts.npy")
        path = golden.path(f"shards/{prefix}_data.npy")
        tensor = ShardedTensor.open(path.with_name(prefix))
        assert sum(map(len, tensor)) == len(tensor.data)
        assert all_finite(tensor.data)
