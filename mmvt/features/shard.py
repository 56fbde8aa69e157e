"""Writes a feature store: whole shards under their final names, the manifest last."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from jaxtyping import Float

from mmvt.datasets.id_index import build_index, hash_id
from mmvt.datasets.manifest import NAME, FileInfo, Manifest, Shard
from mmvt.datasets.store import FeatureStore, block_sums
from mmvt.errors import StoreError
from mmvt.files import atomic_write, atomic_write_json
from mmvt.ids import check_id

HEADER = 128
TEMPORARY = ".tmp"


class StoreWriter:
    """Adds videos to a store; a context manager.

    Rows go to disk as they come. A shard gets its final name when it is full, or when the block
    ends, also by an error: what was added is kept. A process that is killed loses the shard it was
    writing and nothing else; its leftovers go when the store is written to again.

    Args:
        folder: the store.
        dim: width of a row.
        grid: a step is ``grid`` × ``grid`` rows.
        dtype: type of the numbers on disk.
        fps: steps a second.
        encoder: name, options and weights hash of what makes the rows.
        shard_size: most videos in a shard.
        append: add to a store that exists; else its existence is an error.

    Raises:
        StoreError: the store exists and may not, was made with other options, or is being written
            to by another process.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dim: int,
        fps: float,
        encoder: Mapping[str, Any],
        grid: int = 1,
        dtype: str = "float16",
        shard_size: int = 4096,
        append: bool = False,
    ) -> None:
        self.folder = folder
        self.manifest = Manifest(dim, grid, dtype, fps, json.loads(json.dumps(dict(encoder))))
        self.shard_size = shard_size
        self._append = append
        self._store: FeatureStore | None = None
        self._hashes: list[int] = []
        self._pending: _Shard | None = None

    def __enter__(self) -> StoreWriter:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.folder)
        try:
            self._begin()
        except BaseException:
            self._lock.close()
            raise
        return self

    def _begin(self) -> None:
        for leftover in self.folder.glob(f"*{TEMPORARY}"):
            leftover.unlink()
        if not (self.folder / NAME).exists():
            return
        if not self._append:
            raise StoreError(f"{self.folder}: there is a feature store already")
        self._store = FeatureStore.open(self.folder)
        self._store.require(**self.manifest.options())
        self.manifest = self._store.manifest
        self._hashes = [hash_id(video_id) for video_id in self._store.ids]

    def __contains__(self, video_id: object) -> bool:
        if self._pending and video_id in self._pending.ids:
            return True
        return self._store is not None and video_id in self._store

    def add(
        self,
        video_id: str,
        rows: Float[np.ndarray, "steps *grid dim"],
        *,
        duration: float | None = None,
        times: Float[np.ndarray, " times"] | None = None,
        source: str | None = None,
    ) -> None:
        """Add the features of a video.

        Args:
            video_id: its id, new to the store.
            rows: (steps, dim), or (steps, grid², dim) where a step is a grid.
            duration: length of the video in seconds.
            times: time of each step in seconds; by default steps of 1 / fps.
            source: name of the file it came from.

        Raises:
            StoreError: the id is taken, or the rows are empty, of another shape, not finite, or
                too large for the type on disk.
        """
        video_id = check_id(video_id)
        if video_id in self:
            raise StoreError(f"{self.folder}: there is a video {video_id!r} already")
        numbers = self._checked(video_id, rows)
        steps = len(rows)
        if times is None:
            times = np.arange(steps) / self.manifest.fps
        if len(times) != steps:
            raise StoreError(
                f"{self.folder}: {video_id!r} has {steps} steps, but {len(times)} times"
            )
        meta = {"duration": duration, "source": source, "steps": steps}
        self._shard().add(video_id, numbers, np.asarray(times, np.float64), meta)
        if len(self._shard().ids) == self.shard_size:
            self.flush()

    def _checked(self, video_id: str, rows: np.ndarray) -> np.ndarray:
        manifest = self.manifest
        shape = (manifest.dim,) if manifest.grid == 1 else (manifest.grid**2, manifest.dim)
        if rows.shape[1:] != shape or len(rows) == 0:
            raise StoreError(
                f"{self.folder}: rows of {video_id!r} have shape {rows.shape}, but must be "
                f"(1 or more, {', '.join(map(str, shape))})"
            )
        with np.errstate(over="ignore"):
            numbers = rows.astype(manifest.dtype)
        if not np.isfinite(numbers).all():
            what = (
                "not finite" if not np.isfinite(rows).all() else f"too large for {manifest.dtype}"
            )
            raise StoreError(f"{self.folder}: rows of {video_id!r} are {what}")
        return numbers.reshape(-1, manifest.dim)

    def _shard(self) -> _Shard:
        if self._pending is None:
            name = f"{len(self.manifest.shards):05d}"
            self._pending = _Shard(self.folder, name, self.manifest)
        return self._pending

    def flush(self) -> None:
        """Close the shard that is being written, and let readers see it."""
        if self._pending is None:
            return
        shard = self._pending.close()
        self._hashes += [hash_id(video_id) for video_id in self._pending.ids]
        self._pending = None
        shards = (*self.manifest.shards, shard)
        index = self.folder / f"index_{len(shards):05d}.npy"
        _save(index, build_index(self._hashes))
        old = list(self.manifest.index)
        self.manifest = self.manifest.with_files(shards, {index.name: FileInfo.of(index)})
        atomic_write_json(self.folder / NAME, self.manifest.to_json())
        for name in old:
            (self.folder / name).unlink()
        self._store = FeatureStore.open(self.folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if not self.manifest.shards and self._pending is None:
                atomic_write_json(self.folder / NAME, self.manifest.to_json())
            self.flush()
        finally:
            self._lock.close()


class _Shard:
    """A shard that is being written: rows under a temporary name, the rest in memory."""

    def __init__(self, folder: Path, name: str, manifest: Manifest) -> None:
        self.folder, self.name, self.manifest = folder, name, manifest
        self.ids: dict[str, None] = {}
        self._lengths: list[int] = []
        self._times: list[np.ndarray] = []
        self._meta: list[bytes] = []
        self._temporary = folder / f".{name}_data.npy{TEMPORARY}"
        self._file: IO[bytes] = self._temporary.open("wb")
        self._file.write(bytes(HEADER))

    def add(
        self, video_id: str, rows: np.ndarray, times: np.ndarray, meta: Mapping[str, Any]
    ) -> None:
        self._file.write(np.ascontiguousarray(rows).data)
        self.ids[video_id] = None
        self._lengths.append(len(rows))
        self._times.append(times)
        self._meta.append(json.dumps(meta, sort_keys=True).encode())

    def close(self) -> Shard:
        """Give all files their final names and return what the manifest says of them."""
        rows = sum(self._lengths)
        self._file.seek(0)
        self._file.write(_header((rows, self.manifest.dim), np.dtype(self.manifest.dtype)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        data = self.folder / f"{self.name}_data.npy"
        self._temporary.replace(data)
        sums = self.folder / f"{self.name}_sums.npy"
        _save(sums, np.fromiter(block_sums(data), np.uint64))
        names = [sums.name]
        ids = [np.frombuffer(video_id.encode(), np.uint8) for video_id in self.ids]
        meta = [np.frombuffer(text, np.uint8) for text in self._meta]
        names += self._save_items("", self._lengths)
        for suffix, items in (("_ids", ids), ("_meta", meta), ("_times", self._times)):
            path = self.folder / f"{self.name}{suffix}_data.npy"
            _save(path, np.concatenate(items))
            names += [path.name, *self._save_items(suffix, [len(item) for item in items])]
        files = {name: FileInfo.of(self.folder / name) for name in names}
        files[data.name] = FileInfo.of(data, hashed=False)
        return Shard(self.name, len(self.ids), rows, dict(sorted(files.items())))

    def _save_items(self, suffix: str, lengths: list[int]) -> list[str]:
        path = self.folder / f"{self.name}{suffix}_starts.npy"
        _save(path, np.cumsum([0, *lengths], dtype=np.int64))
        return [path.name]


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_write(path) as file:
        np.save(file, array, allow_pickle=False)


def _header(shape: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    """Return the header of a ``.npy`` file, padded to the room that was left for it."""
    text = repr({"descr": dtype.str, "fortran_order": False, "shape": shape})
    magic = b"\x93NUMPY\x01\x00"
    body = text.encode().ljust(HEADER - len(magic) - 3) + b"\n"
    return magic + len(body).to_bytes(2, "little") + body


def _lock(folder: Path) -> IO[str]:
    """Return the locked lock file; the system lets go of it when the process ends, however."""
    file = (folder / ".lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StoreError(f"{folder}: another process is writing to this store") from error
    return file
