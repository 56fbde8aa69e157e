"""The tokens that Video-ChatGPT makes of a video: some of moments, some of places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.features.base import VideoTokens, WholeVideoEncoder
from mmvt.features.hf.image import HFVisionEncoder

SLOTS = 100


class SpatioTemporalTokens(WholeVideoEncoder):
    """A video as Video-ChatGPT takes it: 100 tokens of moments, then one of each patch (256).

    A token of a moment is the mean over the patches of a frame; those that the video has no frame
    for are zeros, and ``n_valid`` in the store tells the number of the others. A token of a patch
    is its mean over all frames. Extract with ``--segments 100`` to have as many frames, each from
    the middle of an equal part; with a rate, they are chosen of all frames at that rate. A video of
    fewer frames has a token for each. Where the original squeezes frames into a square, the reader
    cuts their middle out, as CLIP was trained.

    Args:
        model: folder or name of a CLIP-like model; see HFVisionEncoder.
        layer: hidden state that is taken; -2 is what goes into the last layer.
        slots: tokens of moments.
        dtype: number format in which the model runs.
        device: where it runs, such as ``cpu`` or ``cuda``.

    Raises:
        ConfigError: ``slots`` is below 1, or there is no such layer.
        MissingWeightsError: there is no such model here, or files of it are missing.
        CheckpointError: it is no vision model, or has no patches.

    Source: Video-ChatGPT (arXiv 2306.05424), §3.1.
    """

    def __init__(
        self,
        *,
        model: str = "openai/clip-vit-large-patch14",
        layer: int = -2,
        slots: int = SLOTS,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: str = "cpu",
    ) -> None:
        if slots < 1:
            raise ConfigError(f"slots must be at least 1, not {slots}")
        self.slots = slots
        self._patches = HFVisionEncoder(
            model=model, output="patches", layers=[layer], dtype=dtype, device=device
        )
        self.dim = self._patches.dim
        self.frame_size = self._patches.frame_size

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights."""
        return {**self._patches.fingerprint, "name": type(self).__name__, "slots": self.slots}

    @override
    def encode(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> Float[Tensor, "steps grid2 dim"]:
        """Return the patches of each frame."""
        return self._patches.encode(frames)

    @override
    def finish(
        self, steps: Float[np.ndarray, "steps grid2 dim"], times: Float64[np.ndarray, " steps"]
    ) -> VideoTokens:
        # more segments than frames show some frames several times
        _, first = np.unique(times, return_index=True)
        frames = first
        if len(first) > self.slots:
            frames = first[uniform_frames(len(first), self.slots)]
        rows = spatio_temporal_tokens(steps[frames], slots=self.slots)
        after = np.full(len(rows) - len(frames), times[frames[-1]])
        n_valid = None if len(frames) == self.slots else len(frames)
        return VideoTokens(rows, np.concatenate([times[frames], after]), n_valid)


def uniform_frames(total: int, count: int = SLOTS) -> list[int]:
    """Return the frames in the middles of ``count`` equal parts of a video.

    Of fewer frames the original takes as many as there are, by the same rule: it then takes some
    twice and leaves the last one out.

    Args:
        total: frames of the video.
        count: most frames that are taken.

    Raises:
        ValueError: a number is below 1.

    Source: Video-ChatGPT (arXiv 2306.05424), its code. Halves are rounded to even numbers.
    """
    if total < 1 or count < 1:
        raise ValueError(f"{count} of {total} frames cannot be chosen")
    taken = min(total, count)
    part = (total - 1) / taken
    return [(round(part * i) + round(part * (i + 1))) // 2 for i in range(taken)]


def spatio_temporal_tokens(
    patches: Float[np.ndarray, "frames patches dim"], slots: int = SLOTS
) -> Float[np.ndarray, "tokens dim"]:
    """Return ``slots`` tokens of moments, zeros beyond the last frame, then one of each patch.

    Args:
        patches: of each frame, in the order of the video.
        slots: tokens of moments.

    Raises:
        ValueError: there is no frame, or one too many.

    Source: Video-ChatGPT (arXiv 2306.05424), §3.1.
    """
    if not 1 <= len(patches) <= slots:
        raise ValueError(f"{len(patches)} frames do not go into {slots} tokens")
    moments = np.zeros((slots, patches.shape[2]), patches.dtype)
    moments[: len(patches)] = patches.mean(axis=1, dtype=np.float32)
    places = patches.mean(axis=0, dtype=np.float32).astype(patches.dtype)
    return np.concatenate([moments, places])
