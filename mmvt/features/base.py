"""The contracts of feature encoders: frames or sound of a video in, rows of a feature store out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor


class FeatureEncoder(ABC):
    """A frozen model that turns frames into feature rows.

    Attributes:
        dim: width of a row.
        grid: rows are a ``grid`` × ``grid`` map a step, in row-major order; 1 = pooled.
        frame_size: height and width of the frames it takes, in pixels.
        clip_frames: frames that go through the model together (1 for image models, 30 for S3D at
            30 fps).
        steps_a_clip: steps that such a clip gives, each of as many frames.
        frames_per_second: frame rate it was trained for, or None where any rate will do.
        takes_floats: frames may be floats from 0 to 1 as well.
        device: where it runs.
    """

    dim: int
    grid: int = 1
    frame_size: int
    clip_frames: int = 1
    steps_a_clip: int = 1
    frames_per_second: float | None = None
    takes_floats: bool = False
    device: torch.device = torch.device("cpu")

    @property
    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights: what makes two sets of features comparable."""

    @abstractmethod
    def encode(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> Float[Tensor, "steps grid2 dim"]:
        """Return the features of consecutive RGB frames, ``clip_frames`` of them a clip.

        A video that ends within a clip goes on with its last frame: callers see to that, and drop
        the steps that are of nothing else.
        """

    @property
    def step_frames(self) -> int:
        """Frames that a step is of."""
        return self.clip_frames // self.steps_a_clip


class VideoTokens(NamedTuple):
    """What is stored of a video as a whole.

    Attributes:
        rows: its rows.
        times: seconds of each.
        n_valid: number of rows that are of the video where others are padding, else None.
    """

    rows: Float[np.ndarray, "rows dim"]
    times: Float64[np.ndarray, " rows"]
    n_valid: int | None = None


class WholeVideoEncoder(FeatureEncoder):
    """A feature encoder whose rows are made of all steps of a video together."""

    @abstractmethod
    def finish(
        self, steps: Float[np.ndarray, "steps grid2 dim"], times: Float64[np.ndarray, " steps"]
    ) -> VideoTokens:
        """Return the rows of a video.

        Args:
            steps: what :meth:`encode` returned for all of its frames, in the type of the store.
            times: seconds of each step, ascending.
        """


class AudioEncoder(ABC):
    """A frozen model, or a computation, that turns sound into feature rows.

    Attributes:
        dim: width of a row.
        rows_per_second: row i of a window is of the sound from i / ``rows_per_second`` on.
        sample_rate: samples a second of the sound it takes.
        window: samples that it takes at a time.
        hop: samples from the beginning of a window to that of the next, which give a whole number
            of rows; ``window``, but where the next one begins within the last row.
        device: where it runs.
    """

    dim: int
    rows_per_second: float
    sample_rate: int = 16000
    window: int
    hop: int
    device: torch.device = torch.device("cpu")

    @property
    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights: what makes two sets of features comparable."""

    @abstractmethod
    def encode(self, samples: Float[Tensor, " samples"]) -> Float[Tensor, "rows dim"]:
        """Return the features of a window of mono sound from -1 to 1, or of the shorter last one.

        The first window of a file gives at least one row, however short it is.
        """
