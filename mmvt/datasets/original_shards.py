"""Reads the shards of the original VideoCLIP toolkit, whose ids lie in a pickle.

A pickle is a program. The reader here knows how to make dicts, lists, tuples, text and numbers;
a pickle that asks for anything else is refused before it gets it.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from mmvt.datasets.sharded_tensor import ShardedTensor
from mmvt.errors import StoreError
from mmvt.processors.base import TextClips


class _PlainUnpickler(pickle.Unpickler):
    """Makes plain containers; every way to a class, a function or an object is closed."""

    @override
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    @override
    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it asks for an object from outside")


def read_plain_pickle(path: Path) -> Any:
    """Return what a pickle of plain containers holds.

    Raises:
        StoreError: the file is missing or damaged, or unsafe: it asks for more than that.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file).load()
    except pickle.UnpicklingError as error:
        raise StoreError(f"{path}: unsafe or damaged pickle: {error}") from error
    except (OSError, EOFError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise StoreError(f"{path}: cannot be read: {error!r}") from error


class OriginalStore:
    """The features of one split, in the layout of the original.

    Args:
        folder: holds ``{split}_meta.pkl`` and ``{split}_{shard}_data.npy`` and ``_starts.npy``.
        split: ``train`` or ``val``.

    Raises:
        StoreError: the list of ids is missing, unsafe or malformed, or names an id twice.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        path = folder / f"{split}_meta.pkl"
        meta = read_plain_pickle(path)
        self._places: dict[str, tuple[int, int]] = {}
        for shard, ids in _checked(path, meta).items():
            for position, video_id in enumerate(ids):
                if video_id in self._places:
                    raise StoreError(f"{path}: names {video_id!r} twice")
                self._places[video_id] = (shard, position)
        self._shards: dict[int, ShardedTensor] = {}
        self._counts = {shard: len(ids) for shard, ids in meta.items()}

    @property
    def ids(self) -> list[str]:
        """The ids, in the order of the shards."""
        return list(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._places

    def __getitem__(self, video_id: str) -> Float[np.ndarray, "steps dim"]:
        """Return the features of a video, a view of the file.

        Raises:
            StoreError: there is no such video, or its shard is damaged.
        """
        shard, position = self.place(video_id)
        return self.shard(shard)[position]

    def place(self, video_id: str) -> tuple[int, int]:
        """Return the (shard, position in it) of a video.

        Raises:
            StoreError: there is no such video.
        """
        if video_id not in self._places:
            raise StoreError(f"{self.folder}: there is no video {video_id!r} in {self.split}")
        return self._places[video_id]

    def shard(self, number: int) -> ShardedTensor:
        """Return a shard.

        Raises:
            StoreError: it is missing or damaged, or holds another number of videos than listed.
        """
        if number not in self._shards:
            tensor = ShardedTensor.open(self.folder / f"{self.split}_{number}")
            if len(tensor) != self._counts[number]:
                raise StoreError(
                    f"{tensor.prefix}: holds {len(tensor)} videos, but {self._counts[number]} ids "
                    "are listed"
                )
            self._shards[number] = tensor
        return self._shards[number]


class OriginalTexts:
    """The captions of one split, in the layout of the original.

    Args:
        prefix: what stands before ``{split}_{shard}``.
        store: the features of the same split; they say where a video's captions are.
    """

    def __init__(self, prefix: str, store: OriginalStore) -> None:
        self.prefix, self.store = prefix, store

    def __getitem__(self, video_id: str) -> TextClips:
        """Return the captions of a video, with times in seconds.

        Raises:
            StoreError: there is no such video, or its text shard is damaged.
        """
        shard, position = self.store.place(video_id)
        name = f"{self.prefix}{self.store.split}_{shard}"
        times = ShardedTensor.open(Path(f"{name}.startends"))[position]
        tokens = ShardedTensor.open(Path(f"{name}.caps_ids"))[position]
        if len(times) != len(tokens):
            raise StoreError(f"{name}: {video_id!r} has {len(times)} times, {len(tokens)} captions")
        return TextClips(
            times[:, 0].astype(np.float64),
            times[:, 1].astype(np.float64),
            [row[row >= 0].tolist() for row in tokens],
        )


def _checked(path: Path, meta: Any) -> dict[int, list[str]]:
    if not isinstance(meta, dict) or not all(
        isinstance(shard, int) and isinstance(ids, list) and all(isinstance(i, str) for i in ids)
        for shard, ids in meta.items()
    ):
        raise StoreError(f"{path}: is no list of video ids by shard number")
    return meta
