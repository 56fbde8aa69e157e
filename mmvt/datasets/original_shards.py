"""Reads the shards of the original VideoCLIP toolkit, whose ids lie in a pickle.

A pickle is a program. The reader here knows how to make dicts, lists, tuples, text and numbers;
a pickle that asks for anything else is refused before it gets it.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol, runtime_checkable

import numpy as np
import xxhash
from jaxtyping import Float, Int
from typing_extensions import override

from mmvt.datasets.gather import RowSpans
from mmvt.datasets.sharded_tensor import ShardedTensor, all_finite
from mmvt.errors import StoreError
from mmvt.processors.base import TextClips

TEXTS = "texts.json"


class UnsafePickle(pickle.UnpicklingError):
    """A pickle asks for more than plain containers."""


class PlainUnpickler(pickle.Unpickler):
    """Makes plain containers; every way to a class, a function or an object is closed."""

    @override
    def find_class(self, module: str, name: str) -> Any:
        raise UnsafePickle(f"it asks for {module}.{name}")

    @override
    def persistent_load(self, pid: Any) -> NoReturn:
        raise UnsafePickle("it asks for an object from outside")


def read_plain_pickle(path: Path, unpickler: type[PlainUnpickler] = PlainUnpickler) -> Any:
    """Return what a pickle of plain containers holds.

    Args:
        path: the file.
        unpickler: what makes the containers, and anything beside.

    Raises:
        StoreError: the file is missing or damaged, or unsafe: it asks for more than that.
    """
    try:
        with path.open("rb") as file:
            return load_plain_pickle(file, str(path), unpickler)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error


def load_plain_pickle(file: io.BufferedIOBase, where: str, unpickler: type[PlainUnpickler]) -> Any:
    """Return what an open pickle of plain containers holds; see :func:`read_plain_pickle`."""
    try:
        return unpickler(file).load()
    except UnsafePickle as error:
        raise StoreError(f"{where}: unsafe pickle, not read: {error}") from error
    except OSError:
        raise
    except Exception as error:  # a program out of order can fail in any way
        raise StoreError(f"{where}: damaged pickle: {error!r}") from error


class OriginalStore:
    """The features of one split, in the layout of the original.

    Args:
        folder: holds ``{split}_meta.pkl``, or ``{split}_meta.json`` where we wrote it, and
            ``{split}_{shard}_data.npy`` and ``_starts.npy``.
        split: ``train`` or ``val``.

    Raises:
        StoreError: the list of ids is missing, unsafe or malformed, or names an id twice.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        path = folder / f"{split}_meta.pkl"
        if not path.exists() and path.with_suffix(".json").exists():
            path = path.with_suffix(".json")
            meta = _read_json(path)
        else:
            meta = read_plain_pickle(path)
        self._places: dict[str, tuple[int, int]] = {}
        for shard, ids in _checked(path, meta).items():
            for position, video_id in enumerate(ids):
                if video_id in self._places:
                    raise StoreError(f"{path}: names {video_id!r} twice")
                self._places[video_id] = (shard, position)
        self._shards: dict[int, ShardedTensor] = {}
        self._ids: dict[int, list[str]] = meta

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
            StoreError: there is no such video, its shard is damaged, or a row is not finite.
        """
        shard, position = self.place(video_id)
        rows = self.shard(shard)[position]
        if not all_finite(rows):
            raise StoreError(f"{self.shard(shard).prefix}: rows of {video_id!r} are not finite")
        return rows

    def place(self, video_id: str) -> tuple[int, int]:
        """Return the (shard, position in it) of a video.

        Raises:
            StoreError: there is no such video.
        """
        if video_id not in self._places:
            raise StoreError(f"{self.folder}: there is no video {video_id!r} in {self.split}")
        return self._places[video_id]

    def row_spans(self, ids: Sequence[str]) -> RowSpans:
        """Return where the rows of videos lie.

        Raises:
            StoreError: there is no such video, or a shard is missing or damaged.
        """
        numbers = sorted(self._ids)
        order = {number: place for place, number in enumerate(numbers)}
        places = [self.place(video_id) for video_id in ids]
        starts = [self.shard(shard).starts[at : at + 2] for shard, at in places]
        first, stop = np.array(starts, np.int64).reshape(-1, 2).T
        prefixes = [self.folder / f"{self.split}_{number}" for number in numbers]
        shards = np.array([order[shard] for shard, _ in places])
        return RowSpans(prefixes, shards, first, stop - first)

    def count(self, number: int) -> int:
        """Return how many videos are listed for a shard."""
        return len(self._ids[number])

    @property
    def shard_numbers(self) -> list[int]:
        """The numbers of the shards, in their order."""
        return list(self._ids)

    def shard_name(self, number: int) -> str:
        """Return what the names of files of a shard begin with."""
        return f"{self.split}_{number}"

    def ids_of(self, number: int) -> list[str]:
        """Return the ids of a shard, in order."""
        return self._ids[number]

    def shard(self, number: int) -> ShardedTensor:
        """Return a shard.

        Raises:
            StoreError: it is missing or damaged, or holds another number of videos than listed.
        """
        if number not in self._shards:
            tensor = ShardedTensor.open(self.folder / f"{self.split}_{number}")
            if len(tensor) != self.count(number):
                raise StoreError(
                    f"{tensor.prefix}: holds {len(tensor)} videos, but {self.count(number)} ids "
                    "are listed"
                )
            self._shards[number] = tensor
        return self._shards[number]


class CaptionArrays(NamedTuple):
    """The captions of videos, one after another.

    Attributes:
        offsets: first caption of each video, and the number of captions at the end.
        starts: start of each caption in seconds.
        ends: its end.
        tokens: the tokens of all captions.
        token_offsets: first token of each caption, and the number of tokens at the end.
    """

    offsets: Int[np.ndarray, " videos_plus_1"]
    starts: Float[np.ndarray, " captions"]
    ends: Float[np.ndarray, " captions"]
    tokens: Int[np.ndarray, " tokens"]
    token_offsets: Int[np.ndarray, " captions_plus_1"]


@runtime_checkable
class VideoOrder(Protocol):
    """Features in shards, whose order shards of captions follow."""

    @property
    def shard_numbers(self) -> Sequence[int]:
        """The numbers of the shards, in their order."""

    def shard_name(self, number: int) -> str:
        """Return what the names of files of a shard begin with."""

    def ids_of(self, number: int) -> list[str]:
        """Return the ids of a shard, in order."""

    def place(self, video_id: str) -> tuple[int, int]:
        """Return the (number of the shard, position in it) of a video."""


class OriginalTexts:
    """The captions of the videos of a store, in the layout of the original.

    Args:
        prefix: what stands before the name of a shard, such as ``train_0``.
        store: the features of the same videos; they say where a video's captions are.
    """

    def __init__(self, prefix: str, store: VideoOrder) -> None:
        self.prefix, self.store = prefix, store
        self._shards: dict[int, tuple[ShardedTensor, ShardedTensor]] = {}

    @cached_property
    def _listing(self) -> dict[str, str]:
        """What we wrote down of each shard; nothing where the original wrote them."""
        path = Path(f"{self.prefix}{TEXTS}")
        try:
            listing: dict[str, str] = json.loads(path.read_bytes())["shards"]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: is damaged: {error!r}") from error
        return listing

    def __getitem__(self, video_id: str) -> TextClips:
        """Return the captions of a video, with times in seconds.

        Raises:
            StoreError: there is no such video, or its text shard is damaged.
        """
        shard, position = self.store.place(video_id)
        times, tokens = self.shard(shard)
        start, end = times[position].astype(np.float64).T
        return TextClips(start, end, [row[row >= 0].tolist() for row in tokens[position]])

    def arrays(self, video_ids: Sequence[str]) -> CaptionArrays:
        """Return the captions of several videos.

        Raises:
            StoreError: as for one.
        """
        times, tokens = [], []
        for video_id in video_ids:
            shard, position = self.store.place(video_id)
            of_video = self.shard(shard)
            times.append(of_video[0][position])
            tokens.append(of_video[1][position])
        offsets = np.cumsum([0, *map(len, times)])
        starts, ends = np.concatenate(times).astype(np.float64).T
        padded = np.concatenate(tokens)
        real = padded >= 0
        counts = np.concatenate([[0], np.cumsum(real.sum(1))])
        return CaptionArrays(offsets, starts, ends, padded[real], counts)

    def shard(self, number: int) -> tuple[ShardedTensor, ShardedTensor]:
        """Return the times (clips × 2) and the padded token ids (clips × words) of a shard.

        Raises:
            StoreError: one is missing or damaged, or they do not belong together.
        """
        if number not in self._shards:
            name = f"{self.prefix}{self.store.shard_name(number)}"
            times = ShardedTensor.open(Path(f"{name}.startends"))
            tokens = ShardedTensor.open(Path(f"{name}.caps_ids"))
            if times.data.shape[1:] != (2,) or tokens.data.ndim != 2:
                raise StoreError(f"{name}: is no list of times and tokens")
            if not np.array_equal(times.starts, tokens.starts):
                raise StoreError(f"{name}: times and tokens are not of the same captions")
            ids = self.store.ids_of(number)
            if len(times) != len(ids):
                raise StoreError(
                    f"{name}: holds captions of {len(times)} videos, but {len(ids)} ids are listed"
                )
            if self._listing.get(self.store.shard_name(number)) not in (None, ids_sum(ids)):
                raise StoreError(f"{name}: holds the captions of other videos")
            self._shards[number] = times, tokens
        return self._shards[number]


def ids_sum(ids: Sequence[str]) -> str:
    """Return the xxh3-64 of a list of ids."""
    return xxhash.xxh3_64_hexdigest("\n".join(ids).encode("utf-8", "surrogatepass"))


def _read_json(path: Path) -> Any:
    try:
        return {int(shard): ids for shard, ids in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: is damaged: {error}") from error


def _checked(path: Path, meta: Any) -> dict[int, list[str]]:
    if not isinstance(meta, dict) or not all(
        isinstance(shard, int) and isinstance(ids, list) and all(isinstance(i, str) for i in ids)
        for shard, ids in meta.items()
    ):
        raise StoreError(f"{path}: is no list of video ids by shard number")
    return meta
