"""The shards of the original toolkit, and its pickles, which may not run anything."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_rows_that_are_not_finite_are_named(tmp_path: Path):
    write_split(tmp_path, {0: ["a", "b"]})
    rows = np.ones((5, 2), np.float16)
    rows[2, 1] = np.nan
    np.save(tmp_path / "train_0_data.npy", rows)
    store = OriginalStore(tmp_path, "train")
    assert len(store["a"]) == 2
    with pytest.raises(StoreError, match="train_0: rows of 'b' are not finite"):
        store["b"]


def write_texts(folder: Path, starts: list[int]) -> OriginalTexts:
    write_split(folder, {0: ["a", "b"]})
    np.save(folder / "t.train_0.startends_data.npy", np.array([[0, 1.5], [1, 2], [3, 4]], "f4"))
    np.save(folder / "t.train_0.startends_starts.npy", np.array(starts))
    np.save(
        folder / "t.train_0.caps_ids_data.npy",
        np.array([[7, 8, -1], [9, -1, -1], [5, 6, 7]], "i4"),
    )
    np.save(folder / "t.train_0.caps_ids_starts.npy", np.array(starts))
    return OriginalTexts(f"{folder}/t.", OriginalStore(folder, "train"))


def test_captions_are_read_without_their_padding(tmp_path: Path):
    texts = write_texts(tmp_path, [0, 1, 3])
    assert texts["a"].cap == [[7, 8]]
    assert texts["b"].cap == [[9], [5, 6, 7]]
    np.testing.assert_array_equal(texts["b"].start, [1, 3])
    np.testing.assert_array_equal(texts["b"].end, [2, 4])


def test_a_video_may_have_no_captions(tmp_path: Path):
    assert len(write_texts(tmp_path, [0, 0, 3])["a"]) == 0


def test_text_shards_that_do_not_fit_are_refused(tmp_path: Path):
    with pytest.raises(StoreError, match="holds captions of 3 videos, but 2 ids are listed"):
        write_texts(tmp_path, [0, 1, 2, 3])["a"]
    texts = write_texts(tmp_path, [0, 1, 3])
    np.save(tmp_path / "t.train_0.caps_ids_starts.npy", np.array([0, 2, 3]))
    with pytest.raises(StoreError, match="times and tokens are not of the same captions"):
        texts["a"]
    np.save(tmp_path / "t.train_0.startends_data.npy", np.zeros((3, 3), "f4"))
    with pytest.raises(StoreError, match="is no list of times and tokens"):
        texts["a"]


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


@pytest.mark.faults
def test_a_pickle_that_would_run_code_is_refused_and_does_not(tmp_path: Path):
    marker = tmp_path / "ran"
    path = tmp_path / "train_meta.pkl"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps({0: [Trap(marker)]}, protocol))
        with pytest.raises(StoreError, match=r"train_meta.pkl: unsafe pickle, not read: .*mkdir"):
            OriginalStore(tmp_path, "train")
    assert not marker.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n.",  # GLOBAL
        b"(S'true'\nios\nsystem\n.",  # INST
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"cbuiltins\neval\n(S'1'\ntR.",  # REDUCE
        b"Pelsewhere\n.",  # PERSID
        b"\x80\x04K\x01Q.",  # BINPERSID
        pickle.dumps(OrderedDict(a=1)),
        pickle.dumps(np.int64(1)),
    ],
)
def test_no_way_to_a_class_or_a_function_is_open(tmp_path: Path, program: bytes):
    path = tmp_path / "x.pkl"
    path.write_bytes(program)
    with pytest.raises(StoreError, match=r"x.pkl: unsafe pickle, not read: it asks for"):
        read_plain_pickle(path)


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"garbage",
        b"\x80\x04X\x01\x00\x00\x00a)R.",  # calls text
        b"\x80\x04]}b.",  # gives a list attributes
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",  # more bytes than there are
        b"\x80\x04\x97.",  # a buffer from outside
        b"\x80\x04\x82\x01.",  # an extension
    ],
)
def test_a_damaged_pickle_is_one_error(tmp_path: Path, program: bytes):
    path = tmp_path / "x.pkl"
    path.write_bytes(program)
    with pytest.raises(StoreError, match=r"x.pkl: damaged pickle"):
        read_plain_pickle(path)
    with pytest.raises(StoreError, match=r"y.pkl: cannot be read: No such file"):
        read_plain_pickle(tmp_path / "y.pkl")


def test_a_pickle_cut_anywhere_is_one_error(tmp_path: Path):
    path = tmp_path / "x.pkl"
    whole = pickle.dumps({0: ["a", "b"]})
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"x.pkl: damaged pickle"):
            read_plain_pickle(path)


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.integers() | st.text(), inner)
            | st.tuples(inner, inner)
        ),
        max_leaves=8,
    ),
    protocol=st.integers(3, pickle.HIGHEST_PROTOCOL),
)
def test_plain_containers_are_read(
    tmp_path_factory: pytest.TempPathFactory, value: object, protocol: int
):
    path = tmp_path_factory.getbasetemp() / "plain.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_plain_pickle(path) == value


@pytest.mark.faults
@pytest.mark.parametrize("text", ["{", "[]", '{"a": ["v"]}', '{"0": [1]}'])
def test_a_damaged_list_of_ids_in_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "val_meta.json").write_text(text)
    with pytest.raises(StoreError, match=r"val_meta\.json: is (damaged|no list of video ids)"):
        OriginalStore(tmp_path, "val")
