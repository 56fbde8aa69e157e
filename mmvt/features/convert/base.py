"""Turns features of another form into a feature store: what all forms share."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from mmvt.errors import ConfigError, DataError, MMVTError, StoreError
from mmvt.features.find import Failure
from mmvt.features.shard import StoreWriter
from mmvt.ids import check_id

OnVideo = Callable[[str], None]


class Features(NamedTuple):
    """The features of one video.

    Attributes:
        rows: one row, or one grid of rows, a step.
        times: time of each step in seconds; None = steps follow each other at the store's rate.
        duration: seconds, where they are known.
        source: the file that they were made of, where it is known.
        n_valid: number of steps that are of the video, where others are padding.
    """

    rows: np.ndarray
    times: np.ndarray | None = None
    duration: float | None = None
    source: str | None = None
    n_valid: int | None = None


class Source(ABC):
    """Features in some form.

    Attributes:
        names: what the videos are called there, in order.
        fps: steps a second, where the source says.
        encoder: what made the features, where the source says.
        refused: what looks like a video and cannot be one.
    """

    names: Sequence[str]
    fps: float | None = None
    encoder: Mapping[str, Any] | None = None
    refused: Sequence[Failure] = ()

    @abstractmethod
    def read(self, name: str) -> Features:
        """Return the features of a video.

        Raises:
            MMVTError: they cannot be read; the message names the file.
        """


@dataclass
class Report:
    """What became of the videos.

    Attributes:
        added: videos that were added.
        skipped: videos that were there, or equal to one that was.
        failures: videos that could not be added.
    """

    added: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)


def convert(
    source: Source,
    folder: Path,
    *,
    fps: float | None = None,
    dtype: str | None = None,
    encoder: str | None = None,
    shard_size: int = 4096,
    on_video: OnVideo = lambda name: None,
) -> Report:
    """Add the videos of a source to a store and return what became of them.

    Videos that the store holds are skipped, so that a run that was stopped goes on. A video that
    cannot be stored is in the report, and the others go on. The first that can be read decides on
    the width, the grid and, unless told, the type of the numbers.

    Args:
        source: the features.
        folder: the store; made, or added to.
        fps: steps a second, where the source does not say; 1 unless told. With 0, steps that come
            without times are all at 0 s.
        dtype: type of the numbers in the store.
        encoder: name of what made the features, where the source does not say.
        shard_size: most videos in a shard.
        on_video: called with the name of each video that is done or has failed.

    Raises:
        ConfigError: the rate is none, or what is told contradicts the source.
        StoreError: the store was made with other options, or cannot be written to.
    """
    report = Report(failures=list(source.refused))
    options = {**_told(source, fps, encoder), "shard_size": shard_size}
    writer: StoreWriter | None = None
    with contextlib.ExitStack() as stack:
        for name, video_id in _plan(source, report):
            if writer is not None and video_id in writer:
                report.skipped += 1
            elif features := _read(source, name, video_id, report):
                if writer is None:
                    writer = stack.enter_context(_writer(folder, features.rows, dtype, options))
                _add(writer, video_id, name, features, report)
            on_video(name)
    return report


def checked(rows: np.ndarray) -> Float[np.ndarray, "steps *grid dim"]:
    """Return rows that can be stored, without the dimension of a grid of one.

    Raises:
        StoreError: they are no floating point numbers, have not the form of rows, or are not
            finite.
    """
    if rows.dtype.kind != "f" or rows.dtype.itemsize > 8:
        raise StoreError(f"holds {rows.dtype}, not floating point numbers")
    square = rows.ndim == 3 and math.isqrt(rows.shape[1]) ** 2 == rows.shape[1]
    if not (rows.ndim == 2 or square) or rows.size == 0:
        raise StoreError(f"has the shape {rows.shape}, not (steps, dim) or (steps, grid², dim)")
    if bad := np.count_nonzero(~np.isfinite(rows).reshape(len(rows), -1).all(1)):
        raise StoreError(f"{bad} of its {len(rows)} steps hold NaN or infinite numbers")
    return rows[:, 0] if rows.ndim == 3 and rows.shape[1] == 1 else rows


def _told(source: Source, fps: float | None, encoder: str | None) -> dict[str, Any]:
    """Return what a store says of its rows: what the source says, else what was told."""
    made_by = {"name": encoder or "unknown"} if source.encoder is None else source.encoder
    rate = fps if source.fps is None else source.fps
    if fps not in (None, rate):
        raise ConfigError(f"fps is {fps:g}, but the source says {rate:g}")
    if encoder not in (None, made_by.get("name")):
        raise ConfigError(f"encoder is {encoder!r}, but the source says {made_by.get('name')!r}")
    if rate is not None and not 0 <= rate < math.inf:
        raise ConfigError(f"fps is {rate:g}, which is no number of steps a second")
    return {"fps": 1.0 if rate is None else rate, "encoder": made_by}


def _plan(source: Source, report: Report) -> Iterator[tuple[str, str]]:
    """Yield (name, id) of the videos that have an id of their own; report the others."""
    taken: dict[str, str] = {}
    for name in source.names:
        try:
            video_id = check_id(name)
        except DataError as error:
            report.failures.append(Failure(name, name, str(error)))
            continue
        if video_id in taken:
            reason = f"has the same id as {taken[video_id]!r}"
            report.failures.append(Failure(video_id, name, reason))
        else:
            taken[video_id] = name
            yield name, video_id


def _read(source: Source, name: str, video_id: str, report: Report) -> Features | None:
    try:
        features = source.read(name)
        return features._replace(rows=checked(features.rows))
    except MMVTError as error:
        report.failures.append(Failure(video_id, name, str(error)))
        return None


def _writer(
    folder: Path, rows: np.ndarray, dtype: str | None, options: Mapping[str, Any]
) -> StoreWriter:
    return StoreWriter(
        folder,
        dim=rows.shape[-1],
        grid=math.isqrt(rows.shape[1]) if rows.ndim == 3 else 1,
        dtype=dtype or rows.dtype.name,
        append=True,
        **options,
    )


def _add(writer: StoreWriter, video_id: str, name: str, features: Features, report: Report) -> None:
    if video_id in writer:  # known only now, as it is the first
        report.skipped += 1
        return
    if features.times is None and writer.manifest.fps == 0:
        features = features._replace(times=np.zeros(len(features.rows)))
    try:
        writer.add(video_id, **features._asdict())
        report.added += 1
    except StoreError as error:
        if isinstance(error.__cause__, OSError):  # the disk, not the video
            raise
        report.failures.append(Failure(video_id, name, str(error)))
