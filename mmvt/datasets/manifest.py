"""The manifest of a feature store: what its rows are, and the files that hold them.

``docs/store.md`` describes the format.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

from mmvt.errors import StoreError

FORMAT = "mmvt-store"
VERSION = 1
NAME = "manifest.json"
ROW_ORDER = "row-major"


class FileInfo(NamedTuple):
    """Size in bytes and xxh3-64 of a file; no hash where blocks are hashed one by one."""

    bytes: int
    xxh3: str | None = None

    @classmethod
    def of(cls, path: Path) -> FileInfo:
        """Return what a file is now.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
        return cls(len(data), xxhash.xxh3_64_hexdigest(data))


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard.

    Attributes:
        name: what the names of its files begin with.
        items: number of videos.
        rows: number of rows.
        files: its files, by what comes between ``NAME_`` and ``.npy``.
    """

    name: str
    items: int
    rows: int
    files: Mapping[str, FileInfo]


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Attributes:
        dim: width of a row.
        grid: a step is ``grid`` × ``grid`` rows, along the lines of the image from its top; 1 = one
            row.
        dtype: type of the numbers.
        fps: steps a second; 0 where steps have times and no rate.
        encoder: name, options and weights hash of what made the rows.
        shards: the shards, in order.
        index: the file that finds ids, see :mod:`mmvt.datasets.id_index`; None in an empty store.
    """

    dim: int
    grid: int
    dtype: str
    fps: float
    encoder: Mapping[str, Any]
    shards: tuple[Shard, ...] = ()
    index: FileInfo | None = None

    @property
    def items(self) -> int:
        """Number of videos."""
        return sum(shard.items for shard in self.shards)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(shard.rows for shard in self.shards)

    @property
    def index_name(self) -> str:
        """Name of the index; another one after each shard, so that readers keep theirs."""
        return f"index_{len(self.shards):05d}.npy"

    def files(self) -> Iterator[tuple[str, FileInfo]]:
        """Yield the name of every file beside the manifest, and what it was when written."""
        for shard in self.shards:
            for part, info in shard.files.items():
                yield f"{shard.name}_{part}.npy", info
        if self.index is not None:
            yield self.index_name, self.index

    def options(self) -> dict[str, Any]:
        """Return what two stores must share to be one: everything but their files."""
        options = asdict(replace(self, shards=(), index=None))
        del options["shards"], options["index"]
        return options

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

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as it is written."""
        return {"format": FORMAT, "version": VERSION, "row_order": ROW_ORDER, **asdict(self)}


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a store whose files are all there, of the right size.

    Raises:
        StoreError: there is no store, it is of another version, or a file is missing or cut.
    """
    path = folder / NAME
    try:
        manifest = _parse(path, json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise StoreError(f"{folder}: there is no feature store ({NAME} is missing)") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: is damaged: {error!r}") from error
    with os.scandir(folder) as entries:
        sizes = {entry.name: entry.stat().st_size for entry in entries}
    for name, info in manifest.files():
        if name not in sizes:
            raise StoreError(f"{folder / name}: is missing")
        if sizes[name] != info.bytes:
            raise StoreError(f"{folder / name}: has {sizes[name]} bytes, not {info.bytes}")
    return manifest


def _parse(path: Path, data: dict[str, Any]) -> Manifest:
    if data.pop("format") != FORMAT:
        raise StoreError(f"{path}: is no manifest of a feature store")
    if (version := data.pop("version")) != VERSION:
        raise StoreError(f"{path}: is of version {version}; this mmvt reads version {VERSION}")
    if (order := data.pop("row_order")) != ROW_ORDER:
        raise StoreError(f"{path}: row_order is {order!r}; this mmvt reads {ROW_ORDER!r}")
    data["shards"] = tuple(
        Shard(**shard | {"files": {part: FileInfo(*i) for part, i in shard["files"].items()}})
        for shard in data["shards"]
    )
    data["index"] = data["index"] and FileInfo(*data["index"])
    return Manifest(**data)
