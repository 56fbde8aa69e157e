"""Clips of many videos at once: rows copied from mapped shards into one packed buffer."""

from __future__ import annotations

import itertools
import mmap
import os
import resource
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from mmvt.datasets.sharded_tensor import all_finite, map_array
from mmvt.errors import StoreError


class PackedRows(NamedTuple):
    """Rows of several clips, side by side, without padding.

    Clip i is ``rows[starts[i] : starts[i] + lengths[i]]``; clips lie in the order of the disk.

    Attributes:
        rows: a view of a buffer that a later batch overwrites.
        starts: first row of each clip.
        lengths: rows of each clip.
    """

    rows: Shaped[np.ndarray, "rows dim"]
    starts: Int[np.ndarray, " clips"]
    lengths: Int[np.ndarray, " clips"]


class Clips(NamedTuple):
    """Where the clips of a batch lie.

    Attributes:
        shard: number of the shard of each clip.
        first: its first row in the shard.
        length: its number of rows.
    """

    shard: Int[np.ndarray, " clips"]
    first: Int[np.ndarray, " clips"]
    length: Int[np.ndarray, " clips"]


class RowSpans(NamedTuple):
    """Where the rows of videos lie.

    Attributes:
        prefixes: path of each shard, without ``_data.npy``.
        shard: shard of each video.
        first: its first row there.
        length: its number of rows.
    """

    prefixes: Sequence[Path]
    shard: Int[np.ndarray, " videos"]
    first: Int[np.ndarray, " videos"]
    length: Int[np.ndarray, " videos"]


class RowGatherer:
    """Copies the rows of a batch of clips into one buffer.

    A batch lives in one of a ring of buffers, and so until ``buffers`` more were gathered; without
    a ring it has memory of its own, which costs the system's time to hand it out. Where a batch had
    to wait for the disk, the next one is asked for ahead of its copying, all clips at
    once; nothing beside the clips is read.

    Args:
        prefixes: path of each shard, without ``_data.npy``.
        buffers: batches that are valid at the same time; None = all.
        check: refuse rows that are NaN or infinite.
    """

    def __init__(
        self, prefixes: Sequence[Path], *, buffers: int | None = 3, check: bool = True
    ) -> None:
        self._shards = [_MappedRows(prefix) for prefix in prefixes]
        kinds = {(str(shard.rows.dtype), shard.rows.shape[1:]) for shard in self._shards}
        if len(kinds) != 1:
            raise StoreError(f"the shards differ in type or width: {sorted(map(str, kinds))}")
        self._check = check
        self.dtype, self.width = self._shards[0].rows.dtype, self._shards[0].rows.shape[1]
        self._ring = [np.empty((0, self.width), self.dtype) for _ in range(buffers or 0)]
        self._turn = 0
        self._waited = False

    def __call__(self, clips: Clips) -> PackedRows:
        """Return the rows of clips.

        Raises:
            StoreError: a row is NaN or infinite.
        """
        order = np.lexsort((clips.first, clips.shard))
        shard, first, length = (part[order] for part in clips)
        if self._waited:
            # the disk begins with all clips at once
            for at in range(len(order)):
                self._shards[shard[at]].ask_for(int(first[at]), int(length[at]))
        stops = np.cumsum(length)
        faults = resource.getrusage(resource.RUSAGE_THREAD).ru_majflt
        rows = self._copied(shard, first - (stops - length), length, stops)
        self._waited = resource.getrusage(resource.RUSAGE_THREAD).ru_majflt > faults
        if self._check and not all_finite(rows):
            self._refuse(clips)
        starts = np.empty_like(stops)
        starts[order] = stops - length
        return PackedRows(rows, starts, clips.length)

    def _copied(
        self,
        shard: Int[np.ndarray, " clips"],
        shift: Int[np.ndarray, " clips"],
        length: Int[np.ndarray, " clips"],
        stops: Int[np.ndarray, " clips"],
    ) -> Shaped[np.ndarray, "rows dim"]:
        """Copy clips that are sorted by shard.

        Args:
            shard: shard of each clip.
            shift: its first row in the shard, less its first row in the batch.
            length: its number of rows.
            stops: where it ends in the batch.
        """
        out = self._next_buffer(int(stops[-1]) if len(stops) else 0)
        source = np.arange(len(out)) + np.repeat(shift, length)
        borders = [0, *(np.flatnonzero(np.diff(shard)) + 1).tolist(), len(shard)]
        begin = 0
        for first_clip, stop_clip in itertools.pairwise(borders if len(shard) else []):
            end = int(stops[stop_clip - 1])
            rows = self._shards[shard[first_clip]].rows
            # "clip" lets numpy write into the buffer at once; no row is out of range
            np.take(rows, source[begin:end], axis=0, out=out[begin:end], mode="clip")
            begin = end
        return out

    def _next_buffer(self, rows: int) -> Shaped[np.ndarray, "rows dim"]:
        if not self._ring:
            return np.empty((rows, self.width), self.dtype)
        self._turn = (self._turn + 1) % len(self._ring)
        if len(self._ring[self._turn]) < rows:
            # a little more than asked for, so that batches of about the same size fit
            self._ring[self._turn] = np.empty((rows + rows // 8, self.width), self.dtype)
        return self._ring[self._turn][:rows]

    def _refuse(self, clips: Clips) -> None:
        for shard, first, length in zip(*clips, strict=True):
            rows = self._shards[shard].rows[first : first + length]
            if not all_finite(rows):
                raise StoreError(
                    f"{self._shards[shard].path}: rows {first} to {first + length - 1} hold NaN or "
                    "infinite values"
                )


class _MappedRows:
    """The rows of a shard, read from disk page by page and no page more."""

    def __init__(self, prefix: Path) -> None:
        self.path = Path(f"{prefix}_data.npy")
        self.rows = map_array(self.path)
        if self.rows.ndim != 2:
            raise StoreError(f"{self.path}: rows have {self.rows.ndim - 1} dimensions, not one")
        mapped = self.rows.base
        if isinstance(mapped, np.memmap) and self.rows.size:
            mapped._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
            self._offset = int(mapped.offset)
        self._file = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)

    def ask_for(self, first: int, length: int) -> None:
        size = self.rows.strides[0]
        start = self._offset + first * size
        os.posix_fadvise(self._file, start, length * size, os.POSIX_FADV_WILLNEED)
