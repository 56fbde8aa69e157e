"""Reading a feature store: damage is found, and named."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xxhash

from mmvt.datasets.id_index import build_index, hash_id
from mmvt.datasets.manifest import FileInfo, Shard, read_manifest
from mmvt.datasets.store import FeatureStore, block_sums
from mmvt.errors import DataError, StoreError
from mmvt.features.shard import StoreWriter
from mmvt.files import atomic_write, atomic_write_json

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with StoreWriter(
        tmp_path / "s", dim=512, fps=1.0, encoder={"name": "t"}, shard_size=2
    ) as store:
        for number in range(4):
            store.add(f"v{number}", np.full((1000, 512), number, np.float32))
    return tmp_path / "s"


def change(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def append(folder: Path, video_id: str) -> None:
    with StoreWriter(folder, dim=512, fps=1.0, encoder={"name": "t"}, append=True) as store:
        store.add(video_id, np.ones((3, 512)))


@pytest.mark.parametrize(
    ("position", "span"),
    [
        (0, "0 to 1048575"),
        ((1 << 20) - 1, "0 to 1048575"),
        (1 << 20, "1048576 to 2048127"),
        (-1, "1048576 to 2048127"),
    ],
)
def test_a_flipped_bit_is_found_with_its_shard_and_place(folder: Path, position: int, span: str):
    change(folder / "00001_data.npy", position)
    store = FeatureStore.open(folder)
    with pytest.raises(StoreError, match=f"00001_data.npy: bytes {span} are not what was written"):
        store.verify()
    with pytest.raises(StoreError, match=r"00001_data\.npy"):
        FeatureStore.open(folder, verify="full")


def test_every_damaged_file_is_named_at_once(folder: Path):
    change(folder / "00000_items_data.npy", -1)
    change(folder / "00000_data.npy", 5000)
    change(folder / "00001_sums.npy", -1)
    change(folder / "index_00002.npy", -1)
    with pytest.raises(StoreError) as caught:
        FeatureStore.open(folder, verify="full")
    assert [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()] == [
        "00000_items_data.npy: its checksum is wrong",
        "00001_sums.npy: its checksum is wrong",
        "index_00002.npy: its checksum is wrong",
        "00000_data.npy: bytes 0 to 1048575 are not what was written",
    ]


def test_a_sound_store_verifies(folder: Path):
    FeatureStore.open(folder, verify="full")


def test_a_missing_shard_is_named_when_the_store_is_opened(folder: Path):
    (folder / "00001_data.npy").unlink()
    with pytest.raises(StoreError, match=r"00001_data.npy: is missing"):
        FeatureStore.open(folder)


def test_a_cut_shard_is_named_when_the_store_is_opened(folder: Path):
    path = folder / "00000_data.npy"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(StoreError, match=r"00000_data.npy: has 2048126 bytes, not 2048128"):
        FeatureStore.open(folder)


@pytest.mark.parametrize("part", ["starts", "items_starts", "items_data"])
def test_positions_and_ids_of_another_shard_are_refused(folder: Path, part: str):
    other = folder / "00001"
    if part != "items_data":
        with StoreWriter(folder.parent / "o", dim=512, fps=1.0, encoder={"name": "t"}) as store:
            store.add("longer", np.zeros((5, 512)))
            store.add("v1", np.zeros((5, 512)))
        other = folder.parent / "o" / "00000"
    shutil.copy(f"{other}_{part}.npy", folder / f"00000_{part}.npy")
    with pytest.raises(StoreError, match=rf"00000_{part}.npy: its checksum is wrong"):
        FeatureStore.open(folder)["v0"]


def test_data_of_another_type_is_refused(folder: Path):
    numbers = np.zeros((2000, 512), np.int16)  # as many bytes as are expected
    np.save(folder / "00000_data.npy", numbers)
    with pytest.raises(StoreError, match=r"00000: .* is \('int16', .* not \('float16',"):
        FeatureStore.open(folder)["v0"]


def test_a_shard_that_vanishes_is_named_when_it_is_used(folder: Path):
    store = FeatureStore.open(folder)
    (folder / "00000_starts.npy").unlink()
    with pytest.raises(StoreError, match=r"00000_starts.npy: cannot be read"):
        store["v0"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_caught_each_time_they_are_read(folder: Path, value: float):
    data = np.load(folder / "00000_data.npy", mmap_mode="r+")
    data[1500, 3] = value
    data.flush()
    store = FeatureStore.open(folder)
    assert store["v0"].shape == (1000, 512)
    for _ in range(2):
        with pytest.raises(StoreError, match="00000: rows of 'v1' are not finite"):
            store["v1"]


def test_an_unknown_video_is_named(folder: Path):
    store = FeatureStore.open(folder)
    reads: list[Callable[[str], object]] = [store.__getitem__, store.times, store.metadata]
    for read in reads:
        with pytest.raises(StoreError, match="there is no video 'v9'"):
            read("v9")
    with pytest.raises(DataError, match="leads out of its folder"):
        store["../v0"]


@pytest.mark.parametrize("video_id", ["v9", "", "../v0", "v0\n", "\udc80", 7, None])
def test_what_is_not_there_is_not_in_the_store(folder: Path, video_id: object):
    assert video_id not in FeatureStore.open(folder)


def test_ids_are_a_list_in_the_order_of_writing(folder: Path):
    ids = FeatureStore.open(folder).ids
    assert list(ids) == ids[:] == ["v0", "v1", "v2", "v3"]
    assert (ids[0], ids[-1], ids[1:3]) == ("v0", "v3", ["v1", "v2"])
    with pytest.raises(IndexError):
        ids[4]


def test_a_video_has_a_shard_and_a_place_in_it(folder: Path):
    store = FeatureStore.open(folder)
    assert [store.place(video_id) for video_id in store.ids] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert store.shard(1).rows[0][0, 0] == 2


def test_places_of_many_videos_are_looked_up_at_once(folder: Path):
    append(folder, "cafe\u0301")
    store = FeatureStore.open(folder)
    shards, positions = store.places(["v3", "v0", "caf\u00e9", "v0"])
    assert (shards.tolist(), positions.tolist()) == ([1, 0, 2, 0], [1, 0, 0, 0])
    assert store.contains(["v3", "v", "../v0", "v0\n", "", "\udc80", "cafe\u0301"]).tolist() == [
        *(True, False, False, False, False, False, True)
    ]
    assert store.contains([]).tolist() == []
    assert [array.tolist() for array in store.places([])] == [[], []]


def test_unknown_videos_among_many_are_counted_and_named(folder: Path):
    store = FeatureStore.open(folder)
    absent = [f"w{number}" for number in range(11)]
    with pytest.raises(StoreError, match=r"s: 11 videos are not there: 'w0', .*, 'w9'$"):
        store.places(["v0", *absent])


def test_ids_of_the_same_hash_are_told_apart(folder: Path):
    # as if all ids had the hash of v9
    index = np.stack([np.full(4, hash_id("v9"), np.uint64), np.array([2, 0, 3, 1], np.uint64)])
    store = FeatureStore.open(folder)
    store.index = index
    assert store.contains(["v9", "v9"]).tolist() == [False, False]
    store.index = np.stack([np.full(4, hash_id("v3"), np.uint64), index[1]])
    assert [array.tolist() for array in store.places(["v3"])] == [[1], [1]]


def test_an_empty_store_contains_nothing(tmp_path: Path):
    with StoreWriter(tmp_path / "e", dim=4, fps=1.0, encoder={}):
        pass
    assert FeatureStore.open(tmp_path / "e").contains(["a", "b"]).tolist() == [False, False]


def test_verify_tells_how_far_it_is(folder: Path):
    sizes: list[int] = []
    FeatureStore.open(folder).verify(sizes.append)
    assert sum(sizes) == sum(path.stat().st_size for path in folder.glob("*[0-9]_data.npy"))


def test_verify_names_the_videos_whose_rows_are_not_finite(folder: Path):
    data = folder / "00001_data.npy"
    rows = np.load(data)
    rows[1500, 7] = np.nan
    np.save(data, rows)
    sums = folder / "00001_sums.npy"
    np.save(sums, np.fromiter(block_sums(data), np.uint64))
    text = (folder / "manifest.json").read_text()
    manifest = read_manifest(folder)
    old = manifest.shards[1].files["sums"].xxh3 or ""
    (folder / "manifest.json").write_text(text.replace(old, FileInfo.of(sums).xxh3 or ""))
    with pytest.raises(StoreError, match=r"s/00001: rows of 'v3' are not finite$"):
        FeatureStore.open(folder, verify="full")


def test_options_that_differ_are_shown_with_both_values(folder: Path):
    with pytest.raises(StoreError, match="dim is 512, not 1024; fps is 1.0, not 2.0"):
        FeatureStore.open(folder).require(dim=1024, fps=2.0)
    FeatureStore.open(folder).require(dim=512)


def test_a_store_travels_to_another_process_as_its_folder(folder: Path):
    store = FeatureStore.open(folder)
    assert store["v3"][0, 0] == 3
    message = pickle.dumps(store)
    assert len(message) < 1000
    assert pickle.loads(message)["v3"][0, 0] == 3


def test_a_reader_keeps_its_store_while_the_store_grows(folder: Path):
    reader = FeatureStore.open(folder)  # has used no shard yet
    append(folder, "v4")
    assert reader["v1"][0, 0] == 1
    assert "v4" not in reader
    assert "v4" in FeatureStore.open(folder)


def test_a_reader_keeps_its_rows_while_a_shard_is_replaced(folder: Path):
    reader = FeatureStore.open(folder)
    rows = reader["v0"]
    with atomic_write(folder / "00000_data.npy") as file:
        np.save(file, np.full((2000, 512), 9, np.float16))
    assert (rows == 0).all()
    assert (reader["v1"] == 1).all()
    assert (FeatureStore.open(folder)["v0"] == 9).all()


MILLION = 245 * 4096
MEASURE = """
import sys
from pathlib import Path
from mmvt.datasets.store import FeatureStore

def private() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

small, large = map(Path, sys.argv[1:])
FeatureStore.open(small)
before = private()
store = FeatureStore.open(large)
print(private() - before)
"""


@pytest.fixture
def million(tmp_path: Path) -> Path:
    """Return a store of 1,003,520 videos whose shards share all files but their ids."""
    folder = tmp_path / "million"
    with StoreWriter(folder, dim=2, fps=1.0, encoder={"name": "t"}) as writer:
        for number in range(4096):
            writer.add(f"v{number:07d}", np.full((1, 2), number, np.float32))
    first = writer.manifest.shards[0]
    shards = [first]
    items = np.load(folder / "00000_items_data.npy").reshape(4096, -1)
    for shard in range(1, MILLION // 4096):
        for part in set(first.files) - {"items_data"}:
            os.link(folder / f"00000_{part}.npy", folder / f"{shard:05d}_{part}.npy")
        numbers = np.arange(shard * 4096, (shard + 1) * 4096)
        items[:, 1:8] = numbers[:, None] // 10 ** np.arange(6, -1, -1) % 10 + ord("0")
        path = folder / f"{shard:05d}_items_data.npy"
        np.save(path, items.ravel())
        files = {**first.files, "items_data": FileInfo.of(path)}
        shards.append(Shard(f"{shard:05d}", 4096, 4096, files))
    names = (b"v%07d" % number for number in range(MILLION))
    hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, names), np.uint64)
    manifest = replace(writer.manifest, shards=tuple(shards))
    np.save(folder / manifest.index_name, build_index(hashes))
    manifest = replace(manifest, index=FileInfo.of(folder / manifest.index_name))
    atomic_write_json(folder / "manifest.json", manifest.to_json())
    return folder


@pytest.mark.faults
def test_a_million_videos_are_opened_without_reading_them(million: Path, folder: Path):
    store = FeatureStore.open(million)
    assert len(store) == MILLION
    for number in (0, 4095, 4096, 777_777, MILLION - 1):
        assert store.place(f"v{number:07d}") == divmod(number, 4096)
        assert store[f"v{number:07d}"][0, 0] == np.float16(number % 4096)
    assert f"v{MILLION:07d}" not in store
    assert store.ids[-1] == f"v{MILLION - 1:07d}"
    numbers = np.random.default_rng(0).permutation(MILLION)
    shards, positions = store.places([f"v{number:07d}" for number in numbers])
    np.testing.assert_array_equal(shards * 4096 + positions, numbers)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MEASURE, str(folder), str(million)]
    kibibytes = subprocess.check_output(command, env=environment, text=True)
    assert int(kibibytes) <= 1024
