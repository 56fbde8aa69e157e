from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.datasets.gather import Clips, PackedRows, RowGatherer
from mmvt.errors import StoreError


def write_shard(folder: Path, name: str, rows: np.ndarray) -> Path:
    np.save(folder / f"{name}_data.npy", rows)
    return folder / name


def clips(*places: tuple[int, int, int]) -> Clips:
    return Clips(*np.array(places, np.int64).reshape(-1, 3).T)


def split(packed: PackedRows) -> list[list[list[float]]]:
    spans = zip(packed.starts.tolist(), packed.lengths.tolist(), strict=True)
    return [packed.rows[start : start + length].tolist() for start, length in spans]


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    first = np.array([[0, 1], [2, 3], [4, 5], [6, 7]], np.float16)
    return [
        write_shard(tmp_path, "00000", first),
        write_shard(tmp_path, "00001", first + np.float16(100)),
    ]


def test_clips_of_several_shards_come_with_their_own_rows(shards: list[Path]):
    packed = RowGatherer(shards)(clips((1, 2, 2), (0, 0, 1), (1, 0, 1), (0, 0, 3)))
    assert split(packed) == [
        [[104, 105], [106, 107]],
        [[0, 1]],
        [[100, 101]],
        [[0, 1], [2, 3], [4, 5]],
    ]
    assert packed.rows.shape == (7, 2)


def test_clips_without_rows_and_batches_without_clips_are_empty(shards: list[Path]):
    gather = RowGatherer(shards)
    assert split(gather(clips((1, 4, 0), (0, 3, 1)))) == [[], [[6, 7]]]
    assert gather(clips()).rows.shape == (0, 2)


def test_a_batch_stays_until_as_many_more_were_gathered_as_there_are_buffers(shards: list[Path]):
    gather = RowGatherer(shards, buffers=2)
    one = gather(clips((0, 0, 2)))
    gather(clips((0, 2, 2)))
    assert one.rows.tolist() == [[0, 1], [2, 3]]
    gather(clips((1, 0, 2)))
    assert one.rows.tolist() == [[100, 101], [102, 103]]


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_any_batch_equals_plain_slices(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    folder = tmp_path_factory.mktemp("shards")
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    rows = [np.random.default_rng(n).random((size, 3)) for n, size in enumerate(sizes)]
    gather = RowGatherer([write_shard(folder, str(n), part) for n, part in enumerate(rows)])
    for _ in range(4):
        places = []
        for _ in range(data.draw(st.integers(0, 6))):
            shard = data.draw(st.integers(0, len(sizes) - 1))
            first = data.draw(st.integers(0, sizes[shard] - 1))
            places.append((shard, first, data.draw(st.integers(0, sizes[shard] - first))))
        expected = [rows[s][f : f + n].tolist() for s, f, n in places]
        assert split(gather(clips(*places))) == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -np.nan])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_rows_that_are_not_finite_are_named(tmp_path: Path, bad: float, dtype: type):
    rows = np.ones((6, 2), dtype)
    rows[4, 1] = bad
    shard = write_shard(tmp_path, "00000", rows)
    gather = RowGatherer([shard])
    assert split(gather(clips((0, 0, 4)))) == [[[1, 1]] * 4]
    with pytest.raises(StoreError, match=r"00000_data.npy: rows 3 to 5 hold NaN or infinite"):
        gather(clips((0, 0, 2), (0, 3, 3)))
    assert len(RowGatherer([shard], check=False)(clips((0, 3, 3))).rows) == 3


def test_shards_of_different_width_or_type_are_refused(tmp_path: Path):
    one = write_shard(tmp_path, "a", np.ones((2, 2), np.float16))
    for rows in (np.ones((2, 3), np.float16), np.ones((2, 2), np.float32)):
        with pytest.raises(StoreError, match="differ in type or width"):
            RowGatherer([one, write_shard(tmp_path, "b", rows)])
    with pytest.raises(StoreError, match="rows have 2 dimensions"):
        RowGatherer([write_shard(tmp_path, "c", np.ones((2, 2, 2)))])


def test_largest_finite_numbers_of_half_precision_pass(tmp_path: Path):
    rows = np.array([[65504, -65504], [6e-8, -0.0]], np.float16)
    assert split(RowGatherer([write_shard(tmp_path, "a", rows)])(clips((0, 0, 2)))) == [
        rows.tolist()
    ]
