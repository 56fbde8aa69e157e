"""The manifest of a feature store: what its rows are, and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import xxhash

from mmvt.errors import StoreError

FORMAT = "mmvt-store"
VERSION = 1
NAME = "manifest.json"
BLOCK = 1 << 20


@dataclass(frozen=True)
class FileInfo:
    """Size in bytes and xxh3-64 of a file; no hash where blocks are hashed one by one."""

    bytes: int
    xxh3: str | None = None

    @classmethod
    def of(cls, path: Path, *, hashed: bool = True) -> FileInfo:
        """Return what a file is now."""
        digest = xxhash.xxh3_64_hexdigest(path.read_bytes()) if hashed else None
        return cls(path.stat().st_size, digest)


@dataclass(frozen=True)
class Shard:
    """One shard: its name, its counts, its files."""

    name: str
    items: int
    rows: int
    files: Mapping[str, FileInfo]


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Attributes:
        dim: width of a row.
        grid: a step is ``grid`` × ``grid`` rows, row by row of the image; 1 = one row.
        dtype: type of the numbers.
        fps: steps a second.
        encoder: name, options and weights hash of what made the rows.
        shards: the shards, in order.
        index: the file that finds ids, see :mod:`mmvt.datasets.id_index`.
    """

    dim: int
    grid: int
    dtype: str
    fps: float
    encoder: Mapping[str, Any]
    shards: tuple[Shard, ...] = ()
    index: Mapping[str, FileInfo] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """Number of videos."""
        return sum(shard.items for shard in self.shards)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(shard.rows for shard in self.shards)

    def options(self) -> dict[str, Any]:
        """Return what two stores must share to be one: everything but their files."""
        return {key: value for key, value in asdict(self).items() if key not in ("shards", "index")}

    def require(self, folder: Path, **expected: Any) -> None:
        """Raise unless the options named have the values expected.

        Raises:
            StoreError: naming every option with both values.
        """
        own = json.loads(json.dumps(self.options()))
        problems = [
            f"{key} is {own[key]!r}, not {value!r}"
            for key, value in json.loads(json.dumps(expected)).items()
            if own[key] != value
        ]
        if problems:
            raise StoreError(f"{folder}: {'; '.join(problems)}")

    def with_files(self, shards: tuple[Shard, ...], index: Mapping[str, FileInfo]) -> Manifest:
        """Return the same store with other files."""
        return replace(self, shards=shards, index=index)

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as it is written."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a store whose files are all there, of the right size.

    Raises:
        StoreError: there is no store, it is of another version, or a file is missing or cut.
    """
    path = folder / NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise StoreError(f"{path}: is no manifest of a feature store")
        if (version := data.pop("version")) != VERSION:
            raise StoreError(f"{path}: is of version {version}; this mmvt reads version {VERSION}")
        shards = tuple(
            Shard(**{**shard, "files": _files(shard["files"])}) for shard in data.pop("shards")
        )
        manifest = Manifest(**{**data, "shards": shards, "index": _files(data["index"])})
    except FileNotFoundError as error:
        raise StoreError(f"{folder}: there is no feature store ({NAME} is missing)") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: is damaged: {error}") from error
    for files in (manifest.index, *(shard.files for shard in manifest.shards)):
        for name, info in files.items():
            _check_size(folder / name, info)
    return manifest


def _files(data: Mapping[str, Mapping[str, Any]]) -> dict[str, FileInfo]:
    return {name: FileInfo(**info) for name, info in data.items()}


def _check_size(path: Path, info: FileInfo) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StoreError(f"{path}: is missing") from error
    if size != info.bytes:
        raise StoreError(f"{path}: has {size} bytes, not {info.bytes}")
