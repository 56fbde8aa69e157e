"""The shards of the original toolkit, and its pickles, which may not run anything."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.original_shards import OriginalStore, OriginalTexts, read_plain_pickle
from mmvt.errors import StoreError
from tests.trap import Trap


def write_split(folder: Path, meta: object) -> None:
    with (folder / "train_meta.pkl").open("wb") as file:
        pickle.dump(meta, file)
    np.save(folder / "train_0_data.npy", np.arange(10, dtype=np.float16).reshape(5, 2))
    np.save(folder / "train_0_starts.npy", np.array([0, 2, 5]))


def test_features_are_found_by_id(tmp_path: Path):
    write_split(tmp_path, {0: ["a", "b"]})
    store = OriginalStore(tmp_path, "train")
    assert store.ids == ["a", "b"]
    np.testing.assert_array_equal(store["b"], [[4, 5], [6, 7], [8, 9]])
    with pytest.raises(StoreError, match="there is no video 'c' in train"):
        store["c"]


def test_captions_are_read_without_their_padding(tmp_path: Path):
    write_split(tmp_path, {0: ["a", "b"]})
    np.save(tmp_path / "t.train_0.startends_data.npy", np.array([[0, 1.5], [1, 2], [3, 4]], "f4"))
    np.save(tmp_path / "t.train_0.startends_starts.npy", np.array([0, 1, 3]))
    np.save(
        tmp_path / "t.train_0.caps_ids_data.npy",
        np.array([[7, 8, -1], [9, -1, -1], [5, 6, 7]], "i4"),
    )
    np.save(tmp_path / "t.train_0.caps_ids_starts.npy", np.array([0, 1, 3]))
    texts = OriginalTexts(f"{tmp_path}/t.", OriginalStore(tmp_path, "train"))
    assert texts["a"].cap == [[7, 8]]
    assert texts["b"].cap == [[9], [5, 6, 7]]
    np.testing.assert_array_equal(texts["b"].end, [2, 4])


@pytest.mark.parametrize("meta", [{0: ["a", "b", "c"]}, {0: ["a"]}])
def test_a_list_of_ids_that_does_not_fit_its_shard_is_refused(tmp_path: Path, meta: object):
    write_split(tmp_path, meta)
    with pytest.raises(StoreError, match="holds 2 videos, but . ids are listed"):
        OriginalStore(tmp_path, "train")["a"]


@pytest.mark.parametrize("meta", [["a"], {"0": ["a"]}, {0: "ab"}, {0: [1]}])
def test_a_list_of_another_form_is_refused(tmp_path: Path, meta: object):
    write_split(tmp_path, meta)
    with pytest.raises(StoreError, match=r"train_meta.pkl: is no list of video ids"):
        OriginalStore(tmp_path, "train")


def test_an_id_in_two_places_is_refused(tmp_path: Path):
    write_split(tmp_path, {0: ["a", "a"]})
    with pytest.raises(StoreError, match="names 'a' twice"):
        OriginalStore(tmp_path, "train")


def test_a_pickle_that_would_run_code_is_refused_and_does_not(tmp_path: Path):
    marker = tmp_path / "ran"
    path = tmp_path / "train_meta.pkl"
    path.write_bytes(pickle.dumps({0: [Trap(marker)]}))
    with pytest.raises(StoreError, match=r"train_meta.pkl: unsafe"):
        OriginalStore(tmp_path, "train")
    assert not marker.exists()


def test_not_even_a_harmless_class_is_made(tmp_path: Path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(OrderedDict(a=1)))
    with pytest.raises(StoreError, match=r"unsafe or damaged pickle: it asks for collections"):
        read_plain_pickle(path)


@pytest.mark.parametrize("content", [b"", b"\x80", b"garbage", b"\x80\x04."])
def test_a_damaged_pickle_is_one_error(tmp_path: Path, content: bytes):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"x.pkl"):
        read_plain_pickle(path)


def test_plain_containers_are_read(tmp_path: Path):
    value = {0: ["ä", "b"], 1: [("x", 1, 2.5, None, True)]}
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value))
    assert read_plain_pickle(path) == value
