"""The contract of feature encoders: frames of a video in, rows of a feature store out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor


class FeatureEncoder(ABC):
    """A frozen model that turns frames into feature rows.

    Attributes:
        dim: width of a row.
        grid: rows are a ``grid`` × ``grid`` map a step, in row-major order; 1 = pooled.
        frame_size: height and width of the frames it takes, in pixels.
        clip_frames: frames that make one step (1 for image models, 30 for S3D at 30 fps).
        frames_per_second: frame rate it was trained for, or None where any rate will do.
        takes_floats: frames may be floats from 0 to 1 as well.
    """

    dim: int
    grid: int = 1
    frame_size: int
    clip_frames: int = 1
    frames_per_second: float | None = None
    takes_floats: bool = False

    @property
    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights: what makes two sets of features comparable."""

    @abstractmethod
    def encode(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> Float[Tensor, "steps grid2 dim"]:
        """Return the features of consecutive RGB frames, ``clip_frames`` of them a step.

        A video that ends within a step goes on with its last frame: callers see to that.
        """
