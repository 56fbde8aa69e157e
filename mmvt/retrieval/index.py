"""An index of videos: vectors of their stretches and of the shorter spans inside, searched exactly.

A folder holds ``index.json`` and the two arrays that it names. A stretch is as much of a video as
the model takes at once; a video scores as its best stretch, and the best span inside that stretch
says where to look.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mmvt.errors import DataError, StoreError
from mmvt.files import atomic_write, atomic_write_json

NAME = "index.json"
FORMAT = "mmvt-index"
VERSION = 1
_BLOCK = 65536
_FINEST = 4


@dataclass(frozen=True)
class ModelRef:
    """The model of an index.

    Attributes:
        config: task YAML.
        checkpoint: its weights, None for those that it begins with.
        overrides: changes to the YAML.
        fingerprint: what decides the meaning of vectors; see
            :attr:`mmvt.inference.LoadedModel.fingerprint`.
    """

    config: str
    checkpoint: str | None
    overrides: list[str]
    fingerprint: dict[str, str | None]

    def with_fingerprint(self, fingerprint: dict[str, str | None]) -> ModelRef:
        """Return the same model as it is now."""
        return replace(self, fingerprint=fingerprint)

    def __str__(self) -> str:
        weights = "" if self.checkpoint is None else f" with {self.checkpoint}"
        changes = "".join(f" {text}" for text in self.overrides)
        digest = (self.fingerprint.get("settings") or "")[:8]
        sha256 = (self.fingerprint.get("checkpoint") or "initial")[:8]
        return f"{self.config}{weights}{changes} (settings {digest}, weights {sha256})"


@dataclass(frozen=True)
class IndexedFile:
    """A video of an index.

    Attributes:
        id: its path relative to the folder of videos.
        path: where it is.
        size: of the file in bytes.
        mtime_ns: when it was changed last.
        duration: seconds of video, None where the file does not say.
        features: its id in the feature store of the index.
        stretches: number of its stretches.
        spans: number of the shorter spans.
    """

    id: str
    path: str
    size: int
    mtime_ns: int
    duration: float | None
    features: str
    stretches: int
    spans: int


@dataclass(frozen=True)
class Part:
    """Vectors of one video: its stretches, then the shorter spans; and their seconds."""

    file: IndexedFile
    vectors: Float[np.ndarray, "rows dim"]
    seconds: Float[np.ndarray, "rows 2"]


@dataclass(frozen=True)
class Hit:
    """A video that was found.

    Attributes:
        file: the video.
        score: of its best stretch.
        start: begin of the best span in seconds.
        end: end of the best span in seconds.
    """

    file: IndexedFile
    score: float
    start: float
    end: float


def stretches(steps: int, longest: int) -> list[tuple[int, int]]:
    """Return (start, stop) of overlapping parts of ``longest`` steps; one part if that is all.

    Args:
        steps: of the video, 1 or more.
        longest: most steps of a part.
    """
    if steps <= longest:
        return [(0, steps)]
    starts = range(0, steps - longest, max(1, longest // 2))
    return [*((start, start + longest) for start in starts), (steps - longest, steps)]


def spans(steps: int, longest: int) -> list[tuple[int, int]]:
    """Return (start, stop) of overlapping parts shorter than a stretch, from a quarter of it up.

    Args:
        steps: of the video, 1 or more.
        longest: most steps of a stretch.
    """
    whole = min(steps, longest)
    length, parts = max(1, whole // _FINEST), []
    while length < whole:
        hop = max(1, length // 2)
        parts += [(start, start + length) for start in range(0, steps - length + 1, hop)]
        length *= 2
    return parts


class VideoIndex:
    """The vectors of videos, by file.

    Args:
        model: what made the vectors.
        files: the videos.
        vectors: the stretches of all files, file after file, then the spans in the same order.
        seconds: begin and end of each.
    """

    def __init__(
        self,
        model: ModelRef,
        files: Sequence[IndexedFile],
        vectors: Float[np.ndarray, "rows dim"],
        seconds: Float[np.ndarray, "rows 2"],
    ) -> None:
        self.model = model
        self.files = list(files)
        self.vectors = vectors
        self.seconds = seconds
        first = np.cumsum([0, *(file.stretches for file in self.files)])
        self._stretches = first
        self._spans = first[-1] + np.cumsum([0, *(file.spans for file in self.files)])

    @classmethod
    def open(cls, folder: Path) -> VideoIndex:
        """Return the index in a folder; vectors are read as they are used.

        Raises:
            StoreError: there is no index, or it is damaged.
        """
        data = _read_json(folder)
        try:
            model = ModelRef(**data["model"])
            files = [IndexedFile(**entry) for entry in data["files"]]
            if not all(type(text) is str for text in (model.config, *model.overrides)):
                raise ValueError("the model is not named by text")
            if any(file.stretches < 1 or file.spans < 0 for file in files):
                raise ValueError("a video has no vectors")
            arrays = []
            for key in ("vectors", "seconds"):
                path = folder / Path(data[key]).name
                arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"{folder / NAME}: is damaged: {error}; index again") from error
        vectors, seconds = arrays
        rows = sum(file.stretches + file.spans for file in files)
        if vectors.ndim != 2 or (len(vectors), *seconds.shape) != (rows, rows, 2):
            raise StoreError(
                f"{folder / NAME}: names {rows} vectors, but the arrays are {vectors.shape} and "
                f"{seconds.shape}; index again"
            )
        return cls(model, files, vectors, seconds)

    @classmethod
    def of_parts(cls, model: ModelRef, parts: Sequence[Part], dim: int) -> VideoIndex:
        """Return the index of videos, sorted by id."""
        parts = sorted(parts, key=lambda part: part.file.id)
        rows = [part.vectors[: part.file.stretches] for part in parts]
        rows += [part.vectors[part.file.stretches :] for part in parts]
        times = [part.seconds[: part.file.stretches] for part in parts]
        times += [part.seconds[part.file.stretches :] for part in parts]
        vectors = np.concatenate([np.zeros((0, dim), np.float32), *rows])
        seconds = np.concatenate([np.zeros((0, 2)), *times])
        return cls(model, [part.file for part in parts], vectors, seconds)

    def parts(self) -> Iterator[Part]:
        """Yield the vectors of one video after the other."""
        for number, file in enumerate(self.files):
            rows = np.concatenate([self._rows(number), self._rows(number, spans=True)])
            yield Part(file, self.vectors[rows], self.seconds[rows])

    def save(self, folder: Path) -> None:
        """Write the index; whoever has the old one open goes on with it.

        Raises:
            DataError: a vector is not finite.
        """
        if not np.isfinite(self.vectors).all():
            raise DataError(f"{folder}: the model made vectors that are not finite")
        old = {path for pattern in _ARRAYS for path in folder.glob(pattern.format("*"))}
        number = 1 + max((int(path.stem.rpartition("_")[2]) for path in old), default=0)
        names = [pattern.format(f"{number:05d}") for pattern in _ARRAYS]
        for name, array in zip(names, (self.vectors, self.seconds), strict=True):
            with atomic_write(folder / name) as file:
                np.save(file, array, allow_pickle=False)
        data: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "model": asdict(self.model),
            "vectors": names[0],
            "seconds": names[1],
            "files": [asdict(file) for file in self.files],
        }
        atomic_write_json(folder / NAME, data)
        for path in old:
            path.unlink(missing_ok=True)

    def search(self, query: Float[np.ndarray, " dim"], top: int = 5) -> list[Hit]:
        """Return the videos of the highest scores, best first; equal scores in the order of ids.

        Args:
            query: vector of a text.
            top: most videos to return.

        Raises:
            DataError: the query is of another width, or not finite.
        """
        if query.shape != self.vectors.shape[1:] or not np.isfinite(query).all():
            raise DataError(
                f"the query is of shape {query.shape} or not finite; the index takes "
                f"{self.vectors.shape[1:]}"
            )
        if not self.files:
            return []
        count = int(self._stretches[-1])
        scores = np.concatenate(
            [
                self.vectors[first : min(first + _BLOCK, count)] @ query
                for first in range(0, count, _BLOCK)
            ]
        )
        best = np.maximum.reduceat(scores, self._stretches[:-1])
        order = np.argsort(-best, kind="stable")[: max(0, top)]
        return [self._hit(int(number), query) for number in order]

    def _hit(self, number: int, query: Float[np.ndarray, " dim"]) -> Hit:
        rows = self._rows(number)
        scores = self.vectors[rows] @ query
        stretch = rows[int(scores.argmax())]
        begin, end = self.seconds[stretch]
        inner = self._rows(number, spans=True)
        times = self.seconds[inner]
        inner = inner[(times[:, 0] >= begin) & (times[:, 1] <= end)]
        if len(inner):
            begin, end = self.seconds[inner[int((self.vectors[inner] @ query).argmax())]]
        return Hit(self.files[number], float(scores.max()), float(begin), float(end))

    def _rows(self, number: int, *, spans: bool = False) -> np.ndarray:
        first = self._spans if spans else self._stretches
        return np.arange(first[number], first[number + 1])


_ARRAYS = ("vectors_{}.npy", "seconds_{}.npy")


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        form, version = data["format"], data["version"]
    except FileNotFoundError as error:
        raise StoreError(
            f"{folder}: there is no index ({NAME} is missing); run mmvt index"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: is damaged: {error}; index again") from error
    if (form, version) != (FORMAT, VERSION):
        raise StoreError(f"{path}: is a {form} of version {version}, not {FORMAT} {VERSION}")
    return data
