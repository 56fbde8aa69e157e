"""One file of rows, cut into items."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.datasets.sharded_tensor import ShardedTensor, all_finite
from mmvt.errors import StoreError


def write(prefix: Path, data: np.ndarray, starts: list[int]) -> ShardedTensor:
    np.save(f"{prefix}_data.npy", data)
    np.save(f"{prefix}_starts.npy", np.array(starts, np.int64))
    return ShardedTensor.open(prefix)


@settings(deadline=None, max_examples=40)
@given(lengths=st.lists(st.integers(0, 4), max_size=6))
def test_items_are_the_pieces_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int]
):
    pieces = [np.full((n, 2), i, np.float16) for i, n in enumerate(lengths)]
    data = np.concatenate([np.zeros((0, 2), np.float16), *pieces])
    tensor = write(
        tmp_path_factory.mktemp("tensor") / "x", data, [0, *np.cumsum(lengths, dtype=int).tolist()]
    )
    assert len(tensor) == len(pieces)
    for item, piece in zip(tensor, pieces, strict=True):
        np.testing.assert_array_equal(item, piece)


def test_an_item_is_a_view_that_cannot_be_written_to(tmp_path: Path):
    tensor = write(tmp_path / "x", np.arange(6.0).reshape(3, 2), [0, 1, 3])
    assert tensor[1].base is not None
    with pytest.raises(ValueError, match="read-only"):
        tensor[1][0, 0] = 1


def test_negative_indices_and_slices_count_as_in_a_list(tmp_path: Path):
    tensor = write(tmp_path / "x", np.arange(3.0)[:, None], [0, 1, 3])
    np.testing.assert_array_equal(tensor[-1], [[1], [2]])
    assert [len(item) for item in tensor[:2]] == [1, 2]
    with pytest.raises(IndexError):
        tensor[2]


def test_it_travels_to_another_process_as_its_name(tmp_path: Path):
    tensor = write(tmp_path / "x", np.zeros((1000, 8)), [0, 1000])
    message = pickle.dumps(tensor)
    assert len(message) < 1000
    assert len(pickle.loads(message)[0]) == 1000


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([1, 3], "do not begin at 0"),
        ([0, 2, 1, 3], "do not grow"),
        ([0, 2], "has 3 rows, but .* ends at 2"),
        ([0, 4], "has 3 rows, but .* ends at 4"),
    ],
)
def test_positions_that_do_not_belong_to_the_data_are_refused(
    tmp_path: Path, starts: list[int], message: str
):
    with pytest.raises(StoreError, match=message):
        write(tmp_path / "x", np.zeros((3, 2)), starts)


def test_positions_of_another_type_are_refused(tmp_path: Path):
    np.save(tmp_path / "x_data.npy", np.zeros((3, 2)))
    np.save(tmp_path / "x_starts.npy", np.array([0.0, 3.0]))
    with pytest.raises(StoreError, match=r"x_starts.npy: is no list of 64-bit positions"):
        ShardedTensor.open(tmp_path / "x")


def test_a_missing_or_cut_file_is_named(tmp_path: Path):
    write(tmp_path / "x", np.zeros((300, 2)), [0, 300])
    data = tmp_path / "x_data.npy"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"x_data.npy: is damaged"):
        ShardedTensor.open(tmp_path / "x")
    data.unlink()
    with pytest.raises(StoreError, match=r"x_data.npy: does not exist"):
        ShardedTensor.open(tmp_path / "x")


def test_a_file_that_is_longer_than_its_array_is_refused(tmp_path: Path):
    write(tmp_path / "x", np.zeros((3, 2)), [0, 3])
    with (tmp_path / "x_data.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(StoreError, match=r"x_data.npy: is damaged: it has 177 bytes, not 176"):
        ShardedTensor.open(tmp_path / "x")


def test_one_number_and_an_archive_are_no_rows(tmp_path: Path):
    write(tmp_path / "x", np.zeros((3, 2)), [0, 3])
    np.save(tmp_path / "x_data.npy", np.float32(3))
    with pytest.raises(StoreError, match=r"x_data.npy: holds one number, no rows"):
        ShardedTensor.open(tmp_path / "x")
    with (tmp_path / "x_data.npy").open("wb") as file:
        np.savez(file, np.zeros((3, 2)))
    with pytest.raises(StoreError, match=r"x_data.npy: is damaged"):
        ShardedTensor.open(tmp_path / "x")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f2"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_found_in_every_type(dtype: str, value: float):
    numbers = np.array([[0, 65504], [-65504, 6e-8]], dtype)
    assert all_finite(numbers)
    numbers[1, 0] = value
    assert not all_finite(numbers)


def test_no_numbers_and_whole_numbers_are_finite():
    assert all_finite(np.zeros((0, 4), np.float16))
    assert all_finite(np.array([0x7C00], np.int32))


def test_an_array_of_objects_is_refused_and_not_unpickled(tmp_path: Path):
    np.save(tmp_path / "x_data.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "x_starts.npy", np.array([0, 1]))
    with pytest.raises(StoreError, match=r"x_data.npy: is damaged"):
        ShardedTensor.open(tmp_path / "x")
