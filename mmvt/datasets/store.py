"""Reads a feature store: the features of a video by its id, straight from memory-mapped shards.

``docs/store.md`` describes the format.
"""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import xxhash
from jaxtyping import Bool, Float, Float64, Int64, UInt64
from typing_extensions import override

from mmvt.datasets.id_index import candidates, first_candidates
from mmvt.datasets.manifest import FileInfo, Manifest, Shard, read_manifest
from mmvt.datasets.sharded_tensor import ShardedTensor, all_finite, map_array
from mmvt.errors import StoreError
from mmvt.ids import check_id, composed

BLOCK = 1 << 20


class FeatureStore:
    """The features of videos, by id.

    Shards are mapped when they are first used. A store goes to another process as its folder.

    Args:
        folder: the store.

    Attributes:
        manifest: what its rows are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder)
        self._ends = list(itertools.accumulate(shard.items for shard in self.manifest.shards))
        self._shards: dict[int, StoreShard] = {}
        # mapped now: a writer that adds to the store takes its name away
        self.index: UInt64[np.ndarray, "2 ids"] = np.zeros((2, 0), np.uint64)
        if self.manifest.index is not None:
            self.index = map_array(folder / self.manifest.index_name)

    @classmethod
    def open(cls, folder: Path, verify: Literal["sizes", "full"] = "sizes") -> FeatureStore:
        """Return the store in a folder.

        Args:
            folder: the store.
            verify: ``sizes`` of all files only; or the ``full`` check of :meth:`verify`.

        Raises:
            StoreError: there is no store, or a file is missing, cut or damaged.
        """
        store = cls(folder)
        if verify == "full":
            store.verify()
        return store

    def __len__(self) -> int:
        return self.manifest.items

    def __contains__(self, video_id: object) -> bool:
        return isinstance(video_id, str) and self._number(video_id) is not None

    def __getitem__(self, video_id: str) -> Float[np.ndarray, "steps *grid dim"]:
        """Return the features of a video, a view of the file.

        Raises:
            StoreError: the store does not hold the video, or holds it damaged.
        """
        shard, position = self.place(video_id)
        return self._steps(self.shard(shard).finite_rows(position))

    def unchecked(self, video_id: str) -> Float[np.ndarray, "steps *grid dim"]:
        """Return the features of a video, a view of the file, which may hold NaN.

        Raises:
            StoreError: the store does not hold the video.
        """
        shard, position = self.place(video_id)
        return self._steps(self.shard(shard).rows[position])

    def _steps(self, rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "steps *grid dim"]:
        grid = self.manifest.grid
        return rows if grid == 1 else rows.reshape(-1, grid**2, self.manifest.dim)

    def times(self, video_id: str) -> Float64[np.ndarray, " steps"]:
        """Return the time of each step of a video, in seconds.

        Raises:
            StoreError: as for the features.
        """
        shard, position = self.place(video_id)
        return self.shard(shard).times_at(position)

    def metadata(self, video_id: str) -> dict[str, Any]:
        """Return what is known of a video.

        That is its ``duration`` in seconds, its ``source``, the number of its ``steps``, how many
        of them are of the video and no padding (``n_valid``), and steps a second (``fps``).

        Raises:
            StoreError: as for the features.
        """
        shard, position = self.place(video_id)
        data: dict[str, Any] = json.loads(self.shard(shard).item(position)[1])
        return {"n_valid": data["steps"], **data, "fps": self.manifest.fps}

    @property
    def ids(self) -> Sequence[str]:
        """The ids, in the order in which they were added; read from disk as they are used."""
        return _Ids(self)

    def place(self, video_id: str) -> tuple[int, int]:
        """Return the (number of the shard, position in it) of a video.

        Raises:
            DataError: the id cannot be one.
            StoreError: there is no such video.
        """
        number = self._number(video_id)
        if number is None:
            raise StoreError(f"{self.folder}: there is no video {check_id(video_id)!r}")
        return self.place_of(number)

    def places(
        self, video_ids: Sequence[str]
    ) -> tuple[Int64[np.ndarray, " videos"], Int64[np.ndarray, " videos"]]:
        """Return the numbers of the shards of videos, and the positions in them.

        Raises:
            StoreError: there is no such video; the first ten are named.
        """
        numbers = self._numbers(video_ids)
        if absent := [video_ids[at] for at in np.flatnonzero(numbers < 0)[:10]]:
            named = ", ".join(map(repr, absent))
            raise StoreError(f"{self.folder}: {(numbers < 0).sum()} videos are not there: {named}")
        return self._places(numbers)

    def contains(self, video_ids: Sequence[str]) -> Bool[np.ndarray, " videos"]:
        """Return for each id whether there is such a video.

        Raises:
            StoreError: a shard is damaged.
        """
        return self._numbers(video_ids) >= 0

    def place_of(self, number: int) -> tuple[int, int]:
        """Return the (number of the shard, position in it) of the video of a number."""
        shard = bisect.bisect_right(self._ends, number)
        return shard, number - (self._ends[shard] - self.manifest.shards[shard].items)

    def shard(self, number: int) -> StoreShard:
        """Return a shard, checked against the manifest.

        Raises:
            StoreError: it is missing, damaged or from elsewhere.
        """
        if number not in self._shards:
            self._shards[number] = StoreShard(self.folder, self.manifest, number)
        return self._shards[number]

    @property
    def shard_numbers(self) -> Sequence[int]:
        """The numbers of the shards."""
        return range(len(self.manifest.shards))

    def shard_name(self, number: int) -> str:
        """Return what the names of files of a shard begin with."""
        return self.manifest.shards[number].name

    def ids_of(self, number: int) -> list[str]:
        """Return the ids of a shard, in order."""
        return list(self.shard(number).ids())

    def require(self, **options: Any) -> None:
        """Raise unless the manifest has the values given, such as ``dim=512``.

        Raises:
            StoreError: naming every option with both values.
        """
        self.manifest.require(self.folder, **options)

    def verify(self, on_bytes: Callable[[int], None] = lambda size: None) -> None:
        """Compare every byte with the checksums, and look for numbers that are not finite.

        Args:
            on_bytes: called with the number of bytes of each block of rows that was compared.

        Raises:
            StoreError: naming every damaged file, and where it is damaged.
        """
        damaged = [
            str(self.folder / name)
            for name, info in self.manifest.files()
            if info.xxh3 is not None and FileInfo.of(self.folder / name) != info
        ]
        problems = [f"{path}: its checksum is wrong" for path in damaged]
        for number, shard in enumerate(self.manifest.shards):
            sums = self.folder / f"{shard.name}_sums.npy"
            if str(sums) not in damaged:
                data = self.folder / f"{shard.name}_data.npy"
                problems += _damage(data, map_array(sums), on_bytes)
            if not any(path.startswith(f"{self.folder / shard.name}_") for path in damaged):
                problems += self._unusable(number)
        if problems:
            raise StoreError("\n".join(problems))

    def _unusable(self, number: int) -> Iterator[str]:
        """Say what is wrong with a shard whose small files are whole."""
        try:
            yield from self.shard(number).not_finite()
        except StoreError as error:
            yield str(error)

    def _numbers(self, video_ids: Sequence[str]) -> Int64[np.ndarray, " videos"]:
        """Return the numbers of videos, -1 where there is none."""
        names = [composed(video_id) for video_id in video_ids]
        numbers = first_candidates(self.index, names)
        shards, positions = self._places(numbers)
        order = np.argsort(shards, kind="stable")[np.count_nonzero(numbers < 0) :]
        borders = np.flatnonzero(np.diff(shards[order], prepend=-1, append=-1))
        for first, last in itertools.pairwise(borders if len(order) else []):
            some = order[first:last]
            encoded = [names[at].encode("utf-8", "surrogatepass") for at in some]
            same = self.shard(int(shards[some[0]])).are_at(encoded, positions[some].tolist())
            for at in some[~np.array(same)].tolist():
                # another id of the same hash comes first, or there is no such id
                number = self._number(names[at])
                numbers[at] = -1 if number is None else number
        return numbers

    def _places(
        self, numbers: Int64[np.ndarray, " videos"]
    ) -> tuple[Int64[np.ndarray, " videos"], Int64[np.ndarray, " videos"]]:
        """Return the shards and positions of the videos of numbers; -1 is of the shard -1."""
        firsts = np.array([0, *self._ends], np.int64)
        shards = np.searchsorted(firsts, numbers, side="right") - 1
        return shards, numbers - firsts[shards]

    def _number(self, video_id: str) -> int | None:
        video_id = composed(video_id)
        for number in candidates(self.index, video_id):
            shard, position = self.place_of(number)
            if self.shard(shard).item(position)[0] == video_id:
                return number
        return None

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        return type(self), (self.folder,)


class StoreShard:
    """One shard of a store, mapped: its rows, and what is known of its videos.

    Args:
        folder: the store.
        manifest: of the store.
        number: which shard.

    Attributes:
        rows: the rows of each video.

    Raises:
        StoreError: a file is missing or damaged, or is not the one that the manifest describes.
    """

    def __init__(self, folder: Path, manifest: Manifest, number: int) -> None:
        self._shard: Shard = manifest.shards[number]
        self._grid = manifest.grid
        self._prefix = folder / self._shard.name
        for part in ("starts", "items_starts", "items_data"):
            path = Path(f"{self._prefix}_{part}.npy")
            if FileInfo.of(path) != self._shard.files[part]:
                raise StoreError(f"{path}: its checksum is wrong")
        self.rows = ShardedTensor.open(self._prefix)
        self._items = ShardedTensor.open(Path(f"{self._prefix}_items"))
        self._finite = np.zeros(self._shard.items, bool)
        found = (str(self.rows.data.dtype), self.rows.data.shape, len(self.rows), len(self._items))
        shape = (self._shard.rows, manifest.dim)
        expected = (manifest.dtype, shape, self._shard.items, self._shard.items)
        if found != expected:
            raise StoreError(
                f"{self._prefix}: (type, shape, videos, ids) is {found}, not {expected}"
            )

    def finite_rows(self, position: int) -> Float[np.ndarray, "rows dim"]:
        """Return the rows of a video.

        Raises:
            StoreError: one is NaN or infinite; looked for the first time they are read.
        """
        rows = self.rows[position]
        if not self._finite[position]:
            if not all_finite(rows):
                video_id = self.item(position)[0]
                raise StoreError(f"{self._prefix}: rows of {video_id!r} are not finite")
            self._finite[position] = True
        return rows

    def item(self, position: int) -> tuple[str, str]:
        """Return the id of a video, and its metadata in JSON."""
        return split_item(self._items[position].tobytes())

    def are_at(self, ids: Sequence[bytes], positions: Sequence[int]) -> list[bool]:
        """Return for each id, in UTF-8, whether it is the one at its position."""
        data, starts = self._items.data.data, self._items.starts.tolist()
        return [
            data[starts[position] : starts[position] + len(video_id) + 1] == video_id + b"\0"
            for video_id, position in zip(ids, positions, strict=True)
        ]

    def not_finite(self) -> Iterator[str]:
        """Yield a line for each video with rows that are NaN or infinite."""
        if all_finite(self.rows.data):
            return
        for position in range(self._shard.items):
            if not all_finite(self.rows[position]):
                yield f"{self._prefix}: rows of {self.item(position)[0]!r} are not finite"

    def ids(self) -> Iterator[str]:
        """Yield all ids."""
        data, starts = self._items.data.tobytes(), self._items.starts.tolist()
        for first, last in itertools.pairwise(starts):
            yield split_item(data[first:last])[0]

    def times_at(self, position: int) -> Float64[np.ndarray, " steps"]:
        """Return the time of each step of a video, in seconds."""
        first, last = self.rows.starts[position : position + 2] // self._grid**2
        return self._times[first:last]

    @cached_property
    def _times(self) -> Float64[np.ndarray, " steps"]:
        return map_array(Path(f"{self._prefix}_times.npy"))


class _Ids(Sequence[str]):
    """The ids of a store as a list that is not in memory."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    @override
    def __len__(self) -> int:
        return len(self._store)

    @override
    def __iter__(self) -> Iterator[str]:
        for number in range(len(self._store.manifest.shards)):
            yield from self._store.shard(number).ids()

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    @override
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        shard, position = self._store.place_of(range(len(self))[index])
        return self._store.shard(shard).item(position)[0]


def join_item(video_id: str, metadata: str) -> bytes:
    """Return an id and its metadata as they stand in a shard: parted by a zero byte."""
    return f"{video_id}\0{metadata}".encode()


def split_item(data: bytes) -> tuple[str, str]:
    """Return the id and the metadata of an item."""
    video_id, _, metadata = data.decode().partition("\0")
    return video_id, metadata


def block_sums(path: Path) -> Iterator[int]:
    """Yield the xxh3-64 of each MiB of a file."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield xxhash.xxh3_64_intdigest(block)


def _damage(
    path: Path, sums: UInt64[np.ndarray, " blocks"], on_bytes: Callable[[int], None]
) -> Iterator[str]:
    size = path.stat().st_size
    for number, (found, expected) in enumerate(zip(block_sums(path), sums, strict=True)):
        first = number * BLOCK
        last = min(first + BLOCK, size) - 1
        on_bytes(last + 1 - first)
        if found != expected:
            yield f"{path}: bytes {first} to {last} are not what was written"
