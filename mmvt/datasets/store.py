"""Reads a feature store: the features of a video by its id, straight from memory-mapped shards."""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import xxhash
from jaxtyping import Float
from typing_extensions import override

from mmvt.datasets.id_index import candidates
from mmvt.datasets.manifest import BLOCK, Manifest, Shard, read_manifest
from mmvt.datasets.sharded_tensor import ShardedTensor, map_array
from mmvt.errors import StoreError
from mmvt.ids import check_id


class FeatureStore:
    """The features of videos, by id.

    Args:
        folder: the store.

    Attributes:
        manifest: what its rows are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder)
        self._ends = list(itertools.accumulate(shard.items for shard in self.manifest.shards))
        self._tensors: dict[str, ShardedTensor] = {}

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
        rows = self._item("", video_id)
        if not np.isfinite(rows).all():
            raise StoreError(f"{self.folder}: features of {video_id!r} are not finite")
        if self.manifest.grid == 1:
            return rows
        return rows.reshape(-1, self.manifest.grid**2, self.manifest.dim)

    def times(self, video_id: str) -> Float[np.ndarray, " steps"]:
        """Return the time of each step of a video, in seconds."""
        return self._item("_times", video_id)

    def metadata(self, video_id: str) -> dict[str, Any]:
        """Return what was written down about a video, such as its duration and source."""
        data: dict[str, Any] = json.loads(self._item("_meta", video_id).tobytes())
        return data

    @property
    def ids(self) -> Sequence[str]:
        """The ids, in the order in which they were added; read from disk as they are used."""
        return _Ids(self)

    def require(self, **options: Any) -> None:
        """Raise unless the manifest has the values given, such as ``dim=512``.

        Raises:
            StoreError: naming every option with both values.
        """
        self.manifest.require(self.folder, **options)

    def verify(self) -> None:
        """Compare every byte with the checksums.

        Raises:
            StoreError: naming every damaged file, and where it is damaged.
        """
        problems = [p for shard in self.manifest.shards for p in self._damage(shard)]
        for files in (self.manifest.index, *(shard.files for shard in self.manifest.shards)):
            for name, info in files.items():
                digest = xxhash.xxh3_64_hexdigest((self.folder / name).read_bytes())
                if info.xxh3 not in (None, digest):
                    problems.append(f"{self.folder / name}: its checksum is wrong")
        if problems:
            raise StoreError("\n".join(problems))

    def _damage(self, shard: Shard) -> Iterator[str]:
        path = self.folder / f"{shard.name}_data.npy"
        expected = map_array(self.folder / f"{shard.name}_sums.npy")
        for number, digest in enumerate(block_sums(path)):
            if digest != expected[number]:
                first = number * BLOCK
                yield f"{path}: bytes {first} to {first + BLOCK - 1} are not what was written"

    def id_at(self, number: int) -> str:
        """Return the id of a video by its number."""
        shard, local = self._place(number)
        return bytes(self._tensor(f"{shard.name}_ids")[local]).decode()

    def _item(self, suffix: str, video_id: str) -> np.ndarray:
        number = self._number(video_id)
        if number is None:
            raise StoreError(f"{self.folder}: there is no video {video_id!r}")
        shard, local = self._place(number)
        return self._tensor(f"{shard.name}{suffix}")[local]

    def _number(self, video_id: str) -> int | None:
        video_id = check_id(video_id)
        return next(
            (n for n in candidates(self._index, video_id) if self.id_at(n) == video_id), None
        )

    def _place(self, number: int) -> tuple[Shard, int]:
        position = bisect.bisect_right(self._ends, number)
        shard = self.manifest.shards[position]
        return shard, number - self._ends[position] + shard.items

    def _tensor(self, name: str) -> ShardedTensor:
        if name not in self._tensors:
            self._tensors[name] = ShardedTensor.open(self.folder / name)
        return self._tensors[name]

    @cached_property
    def _index(self) -> np.ndarray:
        name = next(iter(self.manifest.index), None)
        return map_array(self.folder / name) if name else np.zeros((2, 0), np.uint64)

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        return type(self), (self.folder,)


class _Ids(Sequence[str]):
    """The ids of a store as a list that is not in memory."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    @override
    def __len__(self) -> int:
        return len(self._store)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    @override
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return self._store.id_at(range(len(self))[index])


def block_sums(path: Path) -> Iterator[int]:
    """Yield the xxh3-64 of each MiB of a file."""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield xxhash.xxh3_64_intdigest(block)
