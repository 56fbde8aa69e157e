"""The manifest of a feature store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.datasets.manifest import FileInfo, Manifest, Shard, read_manifest
from mmvt.errors import StoreError


def manifest(**changes: Any) -> Manifest:
    shard = Shard("00000", 2, 5, {"data": FileInfo(3), "starts": FileInfo(2, "ab")})
    options = {"dim": 4, "grid": 1, "dtype": "float16", "fps": 1.0, "encoder": {"name": "t"}}
    return Manifest(**{**options, "shards": (shard,), "index": FileInfo(1, "cd"), **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "00000_data.npy").write_bytes(b"123")
    (tmp_path / "00000_starts.npy").write_bytes(b"12")
    (tmp_path / "index_00001.npy").write_bytes(b"1")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest().to_json()))
    return tmp_path


def test_a_manifest_is_read_as_it_was_written(folder: Path):
    assert read_manifest(folder) == manifest()
    assert (read_manifest(folder).items, read_manifest(folder).rows) == (2, 5)


def test_it_says_its_format_version_and_order_of_rows():
    data = manifest().to_json()
    assert (data["format"], data["version"]) == ("mmvt-store", 1)
    assert data["row_order"] == "row-major"


def test_a_manifest_without_shards_names_no_files(tmp_path: Path):
    empty = manifest(shards=(), index=None)
    (tmp_path / "manifest.json").write_text(json.dumps(empty.to_json()))
    assert read_manifest(tmp_path) == empty
    assert list(empty.files()) == []


@pytest.mark.parametrize("name", ["00000_data.npy", "00000_starts.npy", "index_00001.npy"])
def test_a_missing_file_and_one_of_another_size_are_named(folder: Path, name: str):
    with (folder / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(StoreError, match=rf"{name}: has \d bytes, not \d"):
        read_manifest(folder)
    (folder / name).unlink()
    with pytest.raises(StoreError, match=f"{name}: is missing"):
        read_manifest(folder)


def test_no_store_another_version_and_another_format_are_told_apart(folder: Path):
    with pytest.raises(StoreError, match=r"there is no feature store \(manifest.json is missing\)"):
        read_manifest(folder / "nowhere")
    path = folder / "manifest.json"
    path.write_text(json.dumps({**manifest().to_json(), "version": 9}))
    with pytest.raises(StoreError, match="is of version 9; this mmvt reads version 1"):
        read_manifest(folder)
    path.write_text(json.dumps({**manifest().to_json(), "format": "x"}))
    with pytest.raises(StoreError, match="is no manifest"):
        read_manifest(folder)
    path.write_text(json.dumps({**manifest().to_json(), "row_order": "column-major"}))
    with pytest.raises(
        StoreError, match="row_order is 'column-major'; this mmvt reads 'row-major'"
    ):
        read_manifest(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": "mmvt-store", "version": 1, "shards": 3}', "\x80"]
)
def test_a_damaged_manifest_is_one_error(folder: Path, text: str):
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError, match=r"manifest.json: is damaged"):
        read_manifest(folder)


def test_every_option_that_differs_is_shown_with_both_values(folder: Path):
    manifest().require(folder, dim=4, encoder={"name": "t"})
    with pytest.raises(StoreError, match="dim is 4, not 8; fps is 1.0, not 2.0"):
        manifest().require(folder, dim=8, fps=2.0, grid=1)
