from __future__ import annotations

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.original_shards import OriginalStore, OriginalTexts
from mmvt.datasets.text_shards import write_text_shard, write_text_shards
from mmvt.errors import DataError, StoreError
from mmvt.processors.base import TextClips

CAPTIONS = {
    "a": TextClips(np.array([0.0, 1.5]), np.array([1.5, 4.25]), [[7], [8, 9, 10]]),
    "b": TextClips(np.array([]), np.array([]), []),
    "c": TextClips(np.array([0.5]), np.array([2.0]), [[]]),
}


@pytest.fixture
def store(tmp_path: Path) -> OriginalStore:
    (tmp_path / "val_meta.pkl").write_bytes(pickle.dumps({0: ["a", "b"], 3: ["c"]}))
    return OriginalStore(tmp_path, "val")


def listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_is_written_is_read_back(tmp_path: Path, store: OriginalStore) -> None:
    write_text_shards(f"{tmp_path}/text.", store, CAPTIONS.__getitem__, max_words=3)
    texts = OriginalTexts(f"{tmp_path}/text.", store)
    for video, given in CAPTIONS.items():
        assert texts[video].cap == given.cap
        assert texts[video].start.tolist() == given.start.tolist()
        assert texts[video].end.tolist() == given.end.tolist()


def test_files_have_the_form_of_the_original(tmp_path: Path) -> None:
    write_text_shard(f"{tmp_path}/text.val_0", [CAPTIONS["a"], CAPTIONS["c"]], max_words=3)
    parts = {
        part: np.load(tmp_path / f"text.val_0.{part}.npy")
        for part in ("startends_starts", "startends_data", "caps_ids_starts", "caps_ids_data")
    }
    assert len(listing(tmp_path)) == 4
    assert parts["caps_ids_data"].tolist() == [[7, -1, -1], [8, 9, 10], [-1, -1, -1]]
    assert parts["startends_data"].tolist() == [[0, 1.5], [1.5, 4.25], [0.5, 2]]
    assert parts["caps_ids_starts"].tolist() == parts["startends_starts"].tolist() == [0, 2, 3]
    kinds = {part: str(array.dtype) for part, array in parts.items()}
    assert kinds == {
        "startends_starts": "int64",
        "startends_data": "float32",
        "caps_ids_starts": "int64",
        "caps_ids_data": "int32",
    }


def test_a_shard_may_hold_no_caption(tmp_path: Path) -> None:
    write_text_shard(f"{tmp_path}/text.val_0", [CAPTIONS["b"]])
    assert np.load(tmp_path / "text.val_0.startends_data.npy").shape == (0, 2)
    assert np.load(tmp_path / "text.val_0.caps_ids_data.npy").shape == (0, 32)


def test_long_captions_are_cut_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        write_text_shard(f"{tmp_path}/t", [CAPTIONS["a"]], max_words=2)
    assert np.load(tmp_path / "t.caps_ids_data.npy").tolist() == [[7, -1], [8, 9]]
    assert caplog.messages == [f"{tmp_path}/t: cut 1 of 2 captions to 2 tokens"]


@pytest.mark.faults
def test_a_finished_shard_is_replaced_only_when_asked_for(
    tmp_path: Path, store: OriginalStore
) -> None:
    prefix = f"{tmp_path}/text."
    write_text_shards(prefix, store, CAPTIONS.__getitem__)
    with pytest.raises(StoreError, match=r"text\.val_0: there is a text shard already"):
        write_text_shards(prefix, store, CAPTIONS.__getitem__)
    others = {
        video: TextClips(c.start, c.end, [[5] for _ in c.cap]) for video, c in CAPTIONS.items()
    }
    write_text_shards(prefix, store, others.__getitem__, overwrite=True)
    assert OriginalTexts(prefix, store)["a"].cap == [[5], [5]]


@pytest.mark.faults
def test_a_shard_that_was_not_finished_is_written_anew(
    tmp_path: Path, store: OriginalStore
) -> None:
    prefix = f"{tmp_path}/text."
    write_text_shards(prefix, store, CAPTIONS.__getitem__)
    for number in (0, 3):
        (tmp_path / f"text.val_{number}.caps_ids_data.npy").unlink()
    (tmp_path / "text.val_0.startends_starts.npy").write_bytes(b"torn")
    write_text_shards(prefix, store, CAPTIONS.__getitem__)
    assert OriginalTexts(prefix, store)["a"].cap == CAPTIONS["a"].cap


@pytest.mark.faults
def test_an_error_leaves_a_shard_that_is_there_as_it_was(
    tmp_path: Path, store: OriginalStore
) -> None:
    prefix = f"{tmp_path}/text."
    write_text_shards(prefix, store, CAPTIONS.__getitem__)
    before = listing(tmp_path)

    def refuse(video: str) -> TextClips:
        raise DataError(f"no captions of {video}")

    with pytest.raises(DataError, match="no captions of a"):
        write_text_shards(prefix, store, refuse, overwrite=True)
    assert listing(tmp_path) == before
    assert OriginalTexts(prefix, store)["a"].cap == CAPTIONS["a"].cap
