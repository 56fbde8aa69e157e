"""What decoders are asked for, and how their answers become the rows of a store."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.features.base import AudioEncoder, FeatureEncoder, VideoTokens, WholeVideoEncoder
from mmvt.features.decode_pool import Chunk


@dataclass(frozen=True)
class FrameOptions:
    """Which frames of a video are encoded, and how large.

    Attributes:
        fps: feature steps a second; 1 where neither this nor ``num_segments`` is given.
        num_segments: feature steps a video: a frame from the middle of each of as many equal
            parts. The store then has no constant rate, which it states as 0 steps a second.
        short_side: pixels to which the shorter side is scaled before the centre is cut out; by
            default the frame size of the encoder, so that nothing is cut off a square video.
    """

    fps: float | None = None
    num_segments: int | None = None
    short_side: int | None = None


class Steps(NamedTuple):
    """Rows of a part of a video.

    Attributes:
        rows: as a store holds them: without the dimension of a grid of one.
        times: seconds of each step.
    """

    rows: Float[np.ndarray, "steps *grid dim"]
    times: Float64[np.ndarray, " steps"]


class Encoding(ABC):
    """An encoder with all that is chosen for a run.

    Attributes:
        dim: width of a row.
        grid: rows a side of a step.
        fps: steps a second, 0 where they have no constant rate.
        made_by: all that must be equal for features to go into one store.
        request: what decoders are asked for, but the path.
    """

    dim: int
    grid: int = 1
    fps: float
    made_by: Mapping[str, Any]
    request: Mapping[str, Any]

    @abstractmethod
    def encode(self, chunk: Chunk) -> Steps:
        """Return the steps of what was decoded."""

    def whole(self, parts: Sequence[Steps]) -> VideoTokens:
        """Return all that is stored of a video."""
        return VideoTokens(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.times for part in parts]),
        )


class FrameEncoding(Encoding):
    """Frames that are encoded.

    Args:
        encoder: what encodes.
        options: which frames.
        dtype: type of the numbers in the store.
        batch: frames that are encoded at a time, rounded to whole clips.
        half: run the encoder in half precision.

    Raises:
        ConfigError: the options do not fit the encoder.
    """

    def __init__(
        self, encoder: FeatureEncoder, options: FrameOptions, dtype: str, batch: int, half: bool
    ) -> None:
        self._encoder = encoder
        self._dtype = dtype
        self._half = half
        self.dim, self.grid = encoder.dim, encoder.grid
        rate, steps = _rates(encoder, options)
        # the rows of a whole video follow no clock
        self.fps = 0.0 if isinstance(encoder, WholeVideoEncoder) else steps
        short_side = options.short_side or encoder.frame_size
        frames: dict[str, Any] = {"num_segments": options.num_segments, "short_side": short_side}
        self.request = {
            "fps": rate,
            **frames,
            "crop": encoder.frame_size,
            "chunk": max(1, batch // encoder.clip_frames) * encoder.clip_frames,
        }
        if isinstance(encoder, WholeVideoEncoder):
            frames["fps"] = rate  # elsewhere the store has it
        self.made_by = _made_by({**encoder.fingerprint, "frames": frames}, half)

    @override
    def encode(self, chunk: Chunk) -> Steps:
        assert chunk.frames is not None
        assert chunk.times is not None
        filled = _on(self._encoder.device, _filled(chunk.frames, self._encoder.clip_frames))
        times = chunk.times[:: self._encoder.step_frames]
        with _precision(self._encoder.device, self._half):
            rows = _as_type(self._encoder.encode(filled), self._dtype)[: len(times)]
        return Steps(rows[:, 0] if rows.shape[1] == 1 else rows, times)

    @override
    def whole(self, parts: Sequence[Steps]) -> VideoTokens:
        video = super().whole(parts)
        if not isinstance(self._encoder, WholeVideoEncoder):
            return video
        steps = video.rows if video.rows.ndim == 3 else video.rows[:, None]
        return self._encoder.finish(steps, video.times)


class SoundEncoding(Encoding):
    """Sound that is encoded.

    Args:
        encoder: what encodes.
        options: none, for they choose frames.
        dtype: type of the numbers in the store.
        half: run the encoder in half precision.

    Raises:
        ConfigError: options are given.
    """

    def __init__(
        self, encoder: AudioEncoder, options: FrameOptions, dtype: str, half: bool
    ) -> None:
        given = [name for name, value in asdict(options).items() if value is not None]
        if options.fps == encoder.rows_per_second:
            given.remove("fps")
        if given:
            raise ConfigError(
                f"{type(encoder).__name__} takes sound, {encoder.rows_per_second:g} rows a "
                f"second: leave out {', '.join(given)}"
            )
        self._encoder = encoder
        self._dtype = dtype
        self._half = half
        self.dim = encoder.dim
        self.fps = encoder.rows_per_second
        self.made_by = _made_by(encoder.fingerprint, half)
        sound = {"rate": encoder.sample_rate, "window": encoder.window, "hop": encoder.hop}
        self.request = {"sound": sound}

    @override
    def encode(self, chunk: Chunk) -> Steps:
        assert chunk.samples is not None
        assert chunk.times is not None
        samples = torch.from_numpy(chunk.samples)
        with _precision(self._encoder.device, self._half):
            rows = _as_type(self._encoder.encode(samples), self._dtype)
        return Steps(rows, chunk.times[0] + np.arange(len(rows)) / self.fps)


def encoding_of(
    encoder: FeatureEncoder | AudioEncoder,
    options: FrameOptions,
    dtype: str,
    batch: int,
    *,
    half: bool = False,
) -> Encoding:
    """Return what is encoded of a video, and how.

    Raises:
        ConfigError: the options do not fit the encoder.
    """
    if isinstance(encoder, AudioEncoder):
        return SoundEncoding(encoder, options, dtype, half)
    return FrameEncoding(encoder, options, dtype, batch, half)


def _rates(encoder: FeatureEncoder, options: FrameOptions) -> tuple[float | None, float]:
    """Return frames a second to decode (None: segments) and feature steps a second."""
    native = encoder.frames_per_second
    if options.num_segments is not None:
        if options.fps is not None:
            raise ConfigError("give fps or num_segments, not both")
        if encoder.clip_frames > 1 or native is not None:
            raise ConfigError(
                f"{type(encoder).__name__} takes clips of consecutive frames, no segments"
            )
        return None, 0.0
    if native is None:
        steps = 1.0 if options.fps is None else options.fps
        return steps * encoder.step_frames, steps
    steps = native / encoder.step_frames
    if options.fps not in (None, steps):
        raise ConfigError(f"{type(encoder).__name__} gives {steps:g} steps a second; leave fps out")
    return native, steps


def _made_by(options: Mapping[str, Any], half: bool) -> Mapping[str, Any]:
    """Return what a manifest will hold, such as lists where there were tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(options))
    return {**plain, "half": True} if half else plain


def _on(
    device: torch.device, frames: UInt8[np.ndarray, "n height width 3"]
) -> UInt8[torch.Tensor, "n height width 3"]:
    """Return frames on a device; to a GPU from pinned memory, while it works."""
    tensor = torch.from_numpy(frames)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def _precision(device: torch.device, half: bool) -> torch.autocast:
    """Return the context in which an encoder runs."""
    return torch.autocast(device.type, torch.float16, enabled=half)


def _as_type(rows: torch.Tensor, dtype: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # what became infinite is refused as a whole
        return rows.numpy().astype(dtype)


def _filled(
    frames: UInt8[np.ndarray, "n height width 3"], clip_frames: int
) -> UInt8[np.ndarray, "m height width 3"]:
    """Return frames that make whole clips, the last one repeated where some are missing."""
    lacking = -len(frames) % clip_frames
    return np.concatenate([frames, np.repeat(frames[-1:], lacking, axis=0)]) if lacking else frames
