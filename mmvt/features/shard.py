"""Writes a feature store: whole shards under their final names, the manifest last.

``docs/store.md`` describes the format.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.lib.format import dtype_to_descr, write_array_header_1_0

from mmvt.datasets.id_index import build_index, hash_id, indexed_hashes
from mmvt.datasets.manifest import NAME, FileInfo, Manifest, Shard
from mmvt.datasets.store import FeatureStore, block_sums, join_item
from mmvt.errors import StoreError
from mmvt.features.checks import checked_rows, checked_times
from mmvt.features.journal import Entry, Journal, row_sum
from mmvt.files import atomic_write, atomic_write_json
from mmvt.ids import check_id, composed

HEADER = 128
LOCK = ".lock"

_PARTS = r"\d{5}_(data|starts|sums|times|items_data|items_starts)|index_\d{5}"
_OURS = re.compile(
    rf"({_PARTS})\.npy|\.(({_PARTS})\.npy|manifest\.json|\d{{5}}_journal)\.(\w+\.)?tmp"
)


class StoreWriter:
    """Adds videos to a store; a context manager.

    Rows go to disk as they come. A shard gets its final name when it is full, or when the block
    ends without an error. What a process that was killed, or that an error ended, had added beyond
    that is taken up by the next writer of the same options: the files then are those of a writer
    that was never interrupted. A process that can write no more loses the shard it was writing.

    Args:
        folder: the store.
        dim: width of a row.
        grid: a step is ``grid`` × ``grid`` rows.
        dtype: type of the numbers on disk.
        fps: steps a second; 0 where every video brings its times.
        encoder: name, options and weights hash of what makes the rows.
        shard_size: most videos in a shard.
        append: add to a store that exists; else its existence is an error.

    Raises:
        StoreError: the store exists and may not, was made with other options, is being written to
            by another process, or cannot be written to.
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
        self.manifest = Manifest(
            dim, grid, dtype, float(fps), json.loads(json.dumps(dict(encoder)))
        )
        self.shard_size = shard_size
        self._append = append
        self._store: FeatureStore | None = None
        self._hashes = np.zeros(0, np.uint64)
        self._pending: _Shard | None = None

    def __enter__(self) -> StoreWriter:
        with _disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            known = any((self.folder / name).exists() for name in (LOCK, NAME))
            self._lock = _lock(self.folder)
        try:
            self._begin(known)
        except BaseException:
            self._lock.close()
            raise
        return self

    def _begin(self, known: bool) -> None:
        if (self.folder / NAME).exists():
            if not self._append:
                raise StoreError(f"{self.folder}: there is a feature store already")
            self._store = FeatureStore.open(self.folder)
            self._store.require(**self.manifest.options())
            self.manifest = self._store.manifest
            self._hashes = indexed_hashes(self._store.index)
        if not known and (stray := next(self._strays(), None)):
            raise StoreError(f"{stray}: is in the way, and no writer of ours left it there")
        with _disk(self.folder):
            shard = _Shard(self.folder, self._next_name(), self.manifest)
            if shard.recover():
                self._pending = shard
        self._clean()
        if self._pending and len(self._pending.ids) >= self.shard_size:
            self.flush()

    def __contains__(self, video_id: object) -> bool:
        if not isinstance(video_id, str):
            return False
        if self._pending and composed(video_id) in self._pending.ids:
            return True
        return self._store is not None and video_id in self._store

    def contains(self, video_ids: Sequence[str]) -> Bool[np.ndarray, " videos"]:
        """Return for each id whether there is such a video; a million take two seconds."""
        count = len(video_ids)
        found = np.zeros(count, bool) if self._store is None else self._store.contains(video_ids)
        if self._pending is None:
            return found
        pending = self._pending.ids
        return found | np.fromiter((composed(name) in pending for name in video_ids), bool, count)

    def add(
        self,
        video_id: str,
        rows: Float[np.ndarray, "steps *grid dim"],
        *,
        duration: float | None = None,
        times: Float[np.ndarray, " times"] | None = None,
        source: str | None = None,
        n_valid: int | None = None,
    ) -> None:
        """Add the features of a video.

        Args:
            video_id: its id, new to the store.
            rows: (steps, dim), or (steps, grid², dim) where a step is a grid.
            duration: length of the video in seconds.
            times: time of each step in seconds; by default steps of 1 / fps.
            source: name of the file it came from.
            n_valid: number of steps that are of the video, where others are padding.

        Raises:
            DataError: the id may be none.
            StoreError: the id is taken; the rows are empty, of another shape, not finite, or too
                large for the type on disk; there is no finite time for each step; or the disk is
                full.
        """
        video_id = check_id(video_id)
        where = f"{self.folder}: video {video_id!r}"
        if video_id in self:
            raise StoreError(f"{where} is there already")
        numbers = checked_rows(where, rows, self.manifest)
        clock = checked_times(where, len(rows), times, self.manifest.fps)
        if duration is not None and not np.isfinite(duration):
            raise StoreError(f"{where} has a duration of {duration}")
        if n_valid is not None and not 1 <= n_valid <= len(rows):
            raise StoreError(f"{where} has {len(rows)} steps, of which {n_valid} cannot be valid")
        metadata = {"duration": duration, "source": source, "steps": len(rows)}
        if n_valid is not None and n_valid != len(rows):
            metadata["n_valid"] = n_valid
        item = join_item(video_id, json.dumps(metadata, sort_keys=True))
        try:
            with _disk(self.folder):
                if self._pending is None:
                    self._pending = _Shard(self.folder, self._next_name(), self.manifest)
                    self._pending.begin()
                self._pending.add(video_id, numbers, clock, item)
        except StoreError:
            self._discard()
            raise
        if len(self._pending.ids) == self.shard_size:
            self.flush()

    def flush(self) -> None:
        """Close the shard that is being written, and let readers see it.

        Raises:
            StoreError: the disk is full; the shard is lost.
        """
        if self._pending is None:
            return
        try:
            with _disk(self.folder):
                added = np.array([hash_id(video_id) for video_id in self._pending.ids], np.uint64)
                hashes = np.concatenate([self._hashes, added])
                shards = (*self.manifest.shards, self._pending.close())
                self.manifest = self._publish(shards, hashes)
        finally:
            self._discard()
        self._hashes = hashes
        self._store = FeatureStore.open(self.folder)

    def _publish(self, shards: tuple[Shard, ...], hashes: np.ndarray) -> Manifest:
        options = self.manifest.options()
        index = self.folder / Manifest(**options, shards=shards).index_name
        _save(index, build_index(hashes))
        manifest = Manifest(**options, shards=shards, index=FileInfo.of(index))
        atomic_write_json(self.folder / NAME, manifest.to_json())
        return manifest

    def _discard(self) -> None:
        """Drop the shard that is being written, and what the manifest does not name."""
        if self._pending is not None:
            self._pending.abandon()
            self._pending = None
        self._clean()

    def _clean(self) -> None:
        with _disk(self.folder):
            for stray in list(self._strays()):
                stray.unlink()

    def _next_name(self) -> str:
        return f"{len(self.manifest.shards):05d}"

    def _strays(self) -> Iterator[Path]:
        named = {name for name, _ in self.manifest.files()}
        if self._pending is not None:
            named |= self._pending.temporaries
        for path in self.folder.iterdir():
            if path.name not in named and _OURS.fullmatch(path.name):
                yield path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                if self._pending is not None:
                    self._pending.keep()
                return
            self.flush()
            if not self.manifest.shards:
                with _disk(self.folder):
                    atomic_write_json(self.folder / NAME, self.manifest.to_json())
        finally:
            self._lock.close()


class _Shard:
    """A shard that is being written: rows under a temporary name, the rest in a journal."""

    def __init__(self, folder: Path, name: str, manifest: Manifest) -> None:
        self.folder, self.name, self.manifest = folder, name, manifest
        self.ids: dict[str, None] = {}
        self._lengths: list[int] = []
        self._times: list[np.ndarray] = []
        self._items: list[bytes] = []
        self._temporary = folder / f".{name}_data.npy.tmp"
        self._journal = Journal(folder / f".{name}_journal.tmp", manifest.options())
        self._file: IO[bytes]

    @property
    def temporaries(self) -> set[str]:
        """Names of the files that are being written."""
        return {self._temporary.name, self._journal.path.name}

    def begin(self) -> None:
        """Open an empty shard."""
        self._file = self._temporary.open("wb")
        self._file.write(bytes(HEADER))
        self._journal.begin()

    def recover(self) -> bool:
        """Take up what another process left; return whether there was something."""
        row_bytes = self.manifest.dim * np.dtype(self.manifest.dtype).itemsize
        named = self.folder / f"{self.name}_data.npy"
        if named.exists() and self._journal.path.exists():  # named, but in no manifest yet
            named.replace(self._temporary)
        entries = self._journal.recover(self._temporary, HEADER, row_bytes)
        if not entries:
            return False
        self._file = self._temporary.open("r+b")
        self._file.truncate(HEADER + sum(entry.rows for entry in entries) * row_bytes)
        self._file.seek(0, os.SEEK_END)
        for entry in entries:
            self._note(entry)
        return True

    def add(self, video_id: str, rows: np.ndarray, times: np.ndarray, item: bytes) -> None:
        data = np.ascontiguousarray(rows)
        self._file.write(data.data)
        self._file.flush()
        entry = Entry(video_id, len(rows), times.tolist(), item.decode(), row_sum(data.data))
        self._journal.add(entry)
        self._note(entry)

    def _note(self, entry: Entry) -> None:
        self.ids[entry.id] = None
        self._lengths.append(entry.rows)
        self._times.append(np.array(entry.times, np.float64))
        self._items.append(entry.item.encode())

    def close(self) -> Shard:
        """Give all files their final names and return what the manifest says of them."""
        rows = sum(self._lengths)
        self._write_header(rows)
        os.fsync(self._file.fileno())
        self._file.close()
        arrays = {
            "starts": _starts(self._lengths),
            "sums": np.fromiter(block_sums(self._temporary), np.uint64),
            "times": np.concatenate(self._times),
            "items_starts": _starts([len(item) for item in self._items]),
            "items_data": np.frombuffer(b"".join(self._items), np.uint8),
        }
        files = {"data": FileInfo(self._temporary.stat().st_size)}
        for part, array in arrays.items():
            path = self.folder / f"{self.name}_{part}.npy"
            _save(path, array)
            files[part] = FileInfo.of(path)
        self._temporary.replace(self.folder / f"{self.name}_data.npy")
        self._journal.close()
        return Shard(self.name, len(self.ids), rows, files)

    def keep(self) -> None:
        """Let go of the files, for the next writer to take up."""
        self._file.close()
        self._journal.close()

    def abandon(self) -> None:
        """Let go of the files; closing fails once more where writing did."""
        for file in (self._file, self._journal):
            with contextlib.suppress(OSError):
                file.close()

    def _write_header(self, rows: int) -> None:
        """Write the header of the array into the room that was left for it."""
        descr = dtype_to_descr(np.dtype(self.manifest.dtype))
        header = {"descr": descr, "fortran_order": False, "shape": (rows, self.manifest.dim)}
        self._file.seek(0)
        write_array_header_1_0(self._file, header)
        self._file.flush()
        if self._file.tell() != HEADER:
            raise StoreError(f"{self._temporary}: the header of a shape like this is too long")


def _starts(lengths: list[int]) -> np.ndarray:
    return np.cumsum([0, *lengths], dtype=np.int64)


def _save(path: Path, array: np.ndarray) -> None:
    with atomic_write(path) as file:
        np.save(file, array, allow_pickle=False)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Name the store in errors of the system."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error


def _lock(folder: Path) -> IO[str]:
    """Return the locked lock file; the system lets go of it when the process ends, however."""
    file = (folder / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StoreError(f"{folder}: another process is writing to this store") from error
    except OSError:
        file.close()
        raise
    return file
