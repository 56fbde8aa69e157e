"""Losses of numbers: how far what is predicted is from what is right.

A mean over nothing is 0, and a loss that is not finite stays so. The ports are called ``logits``
and ``targets``, as those of the other losses of labelled positions.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from mmvt.losses.base import Loss


class MSE(Loss):
    """The squared difference."""

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self, logits: Float[Tensor, "*shape"], targets: Float[Tensor, "*shape"]
    ) -> Float[Tensor, ""]:
        """Return the mean over all numbers; 0 if there is none."""
        return _mean(F.mse_loss(logits.float(), targets.float(), reduction="none"))


class L1(Loss):
    """The absolute difference."""

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self, logits: Float[Tensor, "*shape"], targets: Float[Tensor, "*shape"]
    ) -> Float[Tensor, ""]:
        """Return the mean over all numbers; 0 if there is none."""
        return _mean(F.l1_loss(logits.float(), targets.float(), reduction="none"))


class SmoothL1(Loss):
    """Half the squared difference where it is below 1, else the absolute one less a half.

    Source: Fast R-CNN (arXiv 1504.08083) §2.3.
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self, logits: Float[Tensor, "*shape"], targets: Float[Tensor, "*shape"]
    ) -> Float[Tensor, ""]:
        """Return the mean over all numbers; 0 if there is none."""
        return _mean(F.smooth_l1_loss(logits.float(), targets.float(), reduction="none"))


def _mean(differences: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    return differences.sum() / max(differences.numel(), 1)
