"""How raw video becomes features: the ``features`` section of a task YAML."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor
from torch.nn import functional as F

from mmvt.errors import ConfigError, DataError, MediaError
from mmvt.features.base import FeatureEncoder, WholeVideoEncoder
from mmvt.features.reader import probe, read_frames
from mmvt.features.select import segment_midpoints
from mmvt.features.steps import FrameOptions

logger = logging.getLogger(__name__)

_FRAMES = 32


class VideoFeatures(NamedTuple):
    """Features of one video.

    Attributes:
        rows: one row (or one grid of rows) a step.
        duration: seconds of video, None where the file does not say.
    """

    rows: Float[np.ndarray, "steps *grid dim"]
    duration: float | None


class Extraction:
    """Which frames of a video are taken, and what turns them into features.

    The same choices as in ``mmvt extract``, so that features in a store and those of a file that
    is read on the spot are the same.

    Args:
        encoder: turns frames into feature rows.
        fps: steps a second; 1 where neither this nor ``segments`` is set.
        segments: steps a video, however long it is: the frame in the middle of each equal part.
        short_side: pixels to which the shorter side is scaled before the centre is cut out; null =
            what the encoder takes.
    """

    def __init__(
        self,
        *,
        encoder: FeatureEncoder,
        fps: float | None = None,
        segments: int | None = None,
        short_side: int | None = None,
    ) -> None:
        if fps is not None and segments is not None:
            raise ConfigError("features takes fps or segments, not both")
        if isinstance(encoder, WholeVideoEncoder):
            raise ConfigError(
                f"{type(encoder).__name__} gives rows without a time; use it in a store"
            )
        if fps is not None and not (math.isfinite(fps) and fps > 0):
            raise ConfigError(f"features.fps is {fps}, but must be above 0")
        if segments is not None and segments < 1:
            raise ConfigError(f"features.segments is {segments}, but must be at least 1")
        if segments is not None and encoder.clip_frames > 1:
            raise ConfigError(
                f"{type(encoder).__name__} takes clips of {encoder.clip_frames} frames in a row; "
                "set features.fps, not segments"
            )
        if short_side is not None and short_side < encoder.frame_size:
            raise ConfigError(
                f"features.short_side is {short_side}, but {type(encoder).__name__} takes "
                f"{encoder.frame_size} pixels"
            )
        self.encoder = encoder
        self.fps = fps if segments is not None else _steps_a_second(encoder, fps)
        self.segments = segments
        self.short_side = short_side or encoder.frame_size
        self._chunk = max(1, _FRAMES // encoder.clip_frames) * encoder.clip_frames

    @property
    def frames(self) -> FrameOptions:
        """The choice of frames, as ``mmvt extract`` takes it."""
        return FrameOptions(self.fps, self.segments, self.short_side)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What makes two sets of features comparable."""
        return {
            "encoder": dict(self.encoder.fingerprint),
            "fps": self.fps,
            "segments": self.segments,
            "short_side": self.short_side,
        }

    def from_file(self, path: Path) -> VideoFeatures:
        """Return the features of a video file.

        Raises:
            MediaError: the file cannot be read.
        """
        chunks = read_frames(
            path,
            fps=self._rate,
            num_segments=self.segments,
            short_side=self.short_side,
            crop=self.encoder.frame_size,
            chunk=self._chunk,
        )
        rows = [self._encode(torch.from_numpy(frames)) for frames, _ in chunks]
        if not rows:
            raise MediaError(f"{path}: has no frame at {self._rate:g} frames a second")
        return VideoFeatures(_squeezed(rows), probe(path).duration)

    def from_frames(
        self, frames: Num[Tensor, "frames height width channels"], frames_per_second: float
    ) -> Float[np.ndarray, "steps *grid dim"]:
        """Return the features of consecutive RGB frames, chosen and cut as those of a file are.

        Args:
            frames: as :func:`pixels` takes them.
            frames_per_second: at which they were taken.

        Raises:
            DataError: there is no frame, or they have another form.
        """
        if len(frames) == 0:
            raise DataError("a video has no frame")
        frames = pixels(frames, keep_floats=self.encoder.takes_floats)
        chosen = frames[list(self._chosen(len(frames), frames_per_second))]
        square = centre_crop(chosen, self.short_side, self.encoder.frame_size)
        return _squeezed(self._encode(part) for part in square.split(self._chunk))

    def edges(self, steps: int, duration: float | None) -> Float[np.ndarray, " edges"]:
        """Return the seconds at which each step of a video begins, and at which the last ends."""
        if self.fps is None:
            return np.linspace(0, duration or steps, steps + 1)
        edges = np.arange(steps + 1) / self.fps
        if duration is not None and duration > edges[-2]:
            edges[-1] = duration
        return edges

    @property
    def _rate(self) -> float | None:
        """Frames a second; None for segments."""
        return None if self.fps is None else self.fps * self.encoder.step_frames

    def _chosen(self, count: int, rate: float) -> Iterable[int]:
        if self._rate is None:
            return (int(middle) for middle in segment_midpoints(float(count), self.segments or 1))
        ratio = rate / self._rate
        numbers = range(max(1, round(count / ratio)))
        return (min(count - 1, math.floor(number * ratio + 0.5)) for number in numbers)

    def _encode(
        self, frames: Num[Tensor, "frames height width 3"]
    ) -> Float[Tensor, "steps grid2 dim"]:
        steps = -(-len(frames) // self.encoder.step_frames)
        lacking = -len(frames) % self.encoder.clip_frames
        if lacking:  # the last clip stands still
            frames = torch.cat([frames, frames[-1:].expand(lacking, -1, -1, -1)])
        return self.encoder.encode(frames)[:steps]


def _steps_a_second(encoder: FeatureEncoder, fps: float | None) -> float:
    """Return the rate of steps: the one that was asked for, if the encoder can give it."""
    native = encoder.frames_per_second
    if native is None:
        return 1.0 if fps is None else fps
    steps = native / encoder.step_frames
    if fps not in (None, steps):
        raise ConfigError(
            f"features.fps is {fps:g}, but {type(encoder).__name__} gives {steps:g} steps a second"
        )
    return steps


def pixels(
    frames: Num[Tensor, "frames height width channels"], *, keep_floats: bool = False
) -> Num[Tensor, "frames height width channels"]:
    """Return frames, uint8 or floats from 0 to 1, as bytes.

    Args:
        frames: RGB frames.
        keep_floats: return floats as they are; those that are not from 0 to 1 are only warned of.

    Raises:
        DataError: they are neither, or no RGB frames, or not finite.
    """
    if frames.shape[-1] != 3:
        raise DataError(f"frames {tuple(frames.shape)} must end with height, width, 3")
    if frames.dtype == torch.uint8:
        return frames
    if not frames.is_floating_point():
        raise DataError(f"frames are {frames.dtype}, but must be uint8, or floats from 0 to 1")
    # a comparison with NaN is false
    inside = bool(((frames >= 0) & (frames <= 1)).all())
    if not keep_floats:
        if not inside:
            raise DataError("frames are floats, but not from 0 to 1")
        return (frames * 255).round().to(torch.uint8)
    if not inside:
        if not frames.isfinite().all():
            raise DataError("frames are floats, but not all are finite")
        logger.warning("frames are floats, but not from 0 to 1, as the encoder was trained with")
    return frames


def centre_crop(
    frames: Num[Tensor, "frames height width 3"], short_side: int, size: int
) -> Num[Tensor, "frames size size 3"]:
    """Return the middle squares of frames, scaled (bicubic); frames of that size stay as they are.

    Args:
        frames: RGB frames, uint8 or floats from 0 to 1, as they are returned.
        short_side: pixels to which the shorter side is scaled.
        size: side of the square in pixels.
    """
    height, width = frames.shape[1:3]
    if (height, width) == (size, size):
        return frames
    scale = short_side / min(height, width)
    shape = (max(size, round(height * scale)), max(size, round(width * scale)))
    images = frames.permute(0, 3, 1, 2).float()
    pixels = F.interpolate(images, shape, mode="bicubic", antialias=True)
    top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
    middle = pixels[:, :, top : top + size, left : left + size]
    if frames.is_floating_point():
        return middle.clamp(0, 1).permute(0, 2, 3, 1)
    return middle.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _squeezed(
    rows: Iterable[Float[Tensor, "steps grid2 dim"]],
) -> Float[np.ndarray, "steps *grid dim"]:
    """Return rows as a store holds them: without the dimension of a grid of one."""
    joined = torch.cat(list(rows))
    return (joined[:, 0] if joined.shape[1] == 1 else joined).numpy()
