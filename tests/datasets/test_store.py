"""Reading a feature store: damage is found, and named."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.id_index import build_index, candidates, hash_id
from mmvt.datasets.store import FeatureStore
from mmvt.errors import StoreError
from mmvt.features.shard import StoreWriter


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


def test_a_flipped_byte_is_found_with_its_shard_and_place(folder: Path):
    change(folder / "00001_data.npy", 1_500_000)
    store = FeatureStore.open(folder)
    with pytest.raises(StoreError, match=r"00001_data.npy: bytes 1048576 to 2097151 are not"):
        store.verify()
    with pytest.raises(StoreError, match="00001_data.npy"):
        FeatureStore.open(folder, verify="full")


def test_every_damaged_file_is_named_at_once(folder: Path):
    change(folder / "00000_ids_data.npy", -1)
    change(folder / "00000_data.npy", 5000)
    with pytest.raises(StoreError) as caught:
        FeatureStore.open(folder, verify="full")
    assert "00000_ids_data.npy: its checksum is wrong" in str(caught.value)
    assert "00000_data.npy: bytes 0 to 1048575" in str(caught.value)


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


def test_positions_of_another_shard_are_refused(folder: Path, tmp_path: Path):
    with StoreWriter(tmp_path / "o", dim=512, fps=1.0, encoder={"name": "t"}) as store:
        store.add("v0", np.zeros((5, 512)))
        store.add("v1", np.zeros((5, 512)))
    shutil.copy(tmp_path / "o" / "00000_starts.npy", folder / "00000_starts.npy")
    with pytest.raises(StoreError, match=r"00000_data.npy has 2000 rows, but .* ends at 10"):
        FeatureStore.open(folder)["v0"]


def test_rows_that_are_not_finite_are_caught_when_read(folder: Path):
    data = np.load(folder / "00000_data.npy", mmap_mode="r+")
    data[1500, 3] = np.nan
    data.flush()
    store = FeatureStore.open(folder)
    assert store["v0"].shape == (1000, 512)
    with pytest.raises(StoreError, match="features of 'v1' are not finite"):
        store["v1"]


def test_an_unknown_video_is_named(folder: Path):
    with pytest.raises(StoreError, match="there is no video 'v9'"):
        FeatureStore.open(folder)["v9"]


def test_options_that_differ_are_shown_with_both_values(folder: Path):
    with pytest.raises(StoreError, match="dim is 512, not 1024; fps is 1.0, not 2.0"):
        FeatureStore.open(folder).require(dim=1024, fps=2.0)
    FeatureStore.open(folder).require(dim=512)


def test_no_store_another_version_and_a_damaged_manifest_are_told_apart(folder: Path):
    with pytest.raises(StoreError, match=r"there is no feature store \(manifest.json is missing\)"):
        FeatureStore.open(folder / "nowhere")
    path = folder / "manifest.json"
    text = path.read_text()
    path.write_text(json.dumps({**json.loads(text), "version": 9}))
    with pytest.raises(StoreError, match="is of version 9; this mmvt reads version 1"):
        FeatureStore.open(folder)
    path.write_text(json.dumps({**json.loads(text), "format": "x"}))
    with pytest.raises(StoreError, match="is no manifest"):
        FeatureStore.open(folder)
    path.write_text(text[:100])
    with pytest.raises(StoreError, match=r"manifest.json: is damaged"):
        FeatureStore.open(folder)


def test_a_store_travels_to_another_process_as_its_folder(folder: Path):
    store = FeatureStore.open(folder)
    assert store["v3"][0, 0] == 3
    message = pickle.dumps(store)
    assert len(message) < 1000
    assert pickle.loads(message)["v3"][0, 0] == 3


def test_a_reader_keeps_what_it_has_opened_while_the_store_grows(folder: Path):
    reader = FeatureStore.open(folder)
    first = reader["v0"]
    with StoreWriter(folder, dim=512, fps=1.0, encoder={"name": "t"}, append=True) as store:
        store.add("v4", np.ones((3, 512)))
    assert first[0, 0] == 0
    assert reader["v1"][0, 0] == 1
    assert "v4" not in reader
    assert "v4" in FeatureStore.open(folder)


def test_ids_are_found_among_a_million_without_reading_them_all():
    hashes = [hash_id(f"video{number}") for number in range(0, 1_000_000, 7)]
    index = build_index(hashes)
    assert list(candidates(index, "video7")) == [1]
    assert list(candidates(index, "video8")) == []


def test_equal_hashes_give_all_their_numbers():
    index = build_index([hash_id("a"), 5, hash_id("a")])
    assert list(candidates(index, "a")) == [0, 2]
