"""Losses of classes: the right one of several, or each for itself.

A mean over nothing is 0: a batch without any target adds nothing, and its gradients are zeros. A
loss that is not finite stays so: nothing hides it.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from mmvt.losses.base import Loss

IGNORED = -100  # the target of positions that do not count


class CrossEntropy(Loss):
    """One right class a position, such as the action of each frame; targets of -100 do not count.

    Source: VideoCLIP (arXiv 2109.14084) §4.2, action segmentation.
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self, logits: Float[Tensor, "*positions classes"], targets: Int[Tensor, "*positions"]
    ) -> Float[Tensor, ""]:
        """Return the mean over the positions that count; 0 if none does."""
        return mean_cross_entropy(logits.flatten(0, -2), targets.flatten())


class ArgmaxCrossEntropy(Loss):
    """One right class a position, given as a row with its largest number there.

    The first of several equal numbers is right, so that a row of zeros means the class 0.

    Source: the public code of VideoCLIP (arXiv 2109.14084).
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        logits: Float[Tensor, "*positions classes"],
        targets: Float[Tensor, "*positions classes"],
    ) -> Float[Tensor, ""]:
        """Return the mean over positions; 0 if there is none."""
        right = targets.flatten(0, -2).argmax(1)
        return mean_cross_entropy(logits.flatten(0, -2), right)


class BinaryCrossEntropy(Loss):
    """Each class for itself, present or not, such as the steps of a task at each frame.

    Source: VideoCLIP (arXiv 2109.14084) §4.2, action step localization.
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        logits: Float[Tensor, "*positions classes"],
        targets: Float[Tensor, "*more_positions classes"],
    ) -> Float[Tensor, ""]:
        """Return the mean over positions and classes; 0 if there is none.

        Args:
            logits: a number a class, of any size.
            targets: 1 where a class is present, else 0; as many positions as ``logits`` has, in
                the same order.
        """
        rows, right = logits.flatten(0, -2).float(), targets.flatten(0, -2).float()
        total = F.binary_cross_entropy_with_logits(rows, right, reduction="sum")
        return total / max(rows.numel(), 1)


def mean_cross_entropy(
    logits: Float[Tensor, "positions classes"], targets: Int[Tensor, " positions"]
) -> Float[Tensor, ""]:
    """Return the mean over the positions whose target is not -100; 0 if there is none."""
    total = F.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum")
    return total / (targets != IGNORED).sum().clamp(min=1)
