"""Contrastive losses: tell the right pairs of a batch from all others.

``scores[i, j]`` scores video i against text j, so that the right pairs are on the diagonal. Where
``positives`` says that there are more, the target of a row is shared among all of them in equal
parts. A loss that is not finite stays so: nothing hides it.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from mmvt.losses.base import Loss


class SymmetricNCE(Loss):
    """The sum of both directions: the right text of a video, and the right video of a text.

    Source: VideoCLIP (arXiv 2109.14084) §3.2; called MMContra in its code.
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        scores: Float[Tensor, "batch batch"],
        positives: Bool[Tensor, "batch batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the sum of the two mean cross-entropies."""
        return _nce(scores, positives) + _transposed_nce(scores, positives)


class TextToVideoNCE(Loss):
    """The right video of each text, among the videos of the batch."""

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        scores: Float[Tensor, "batch batch"],
        positives: Bool[Tensor, "batch batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the mean cross-entropy over texts."""
        return _transposed_nce(scores, positives)


class VideoToTextNCE(Loss):
    """The right text of each video, among the texts of the batch."""

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        scores: Float[Tensor, "batch batch"],
        positives: Bool[Tensor, "batch batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the mean cross-entropy over videos."""
        return _nce(scores, positives)


class NCE(Loss):
    """Matching scores of joint encoders: each right pair against all wrong pairs of the batch.

    ``align_scores`` holds the right pairs in its first half of rows and as many wrong pairs in its
    second half. Only its first column counts, as in the original, whose matching head has two.
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self, align_scores: Float[Tensor, "pairs 2"]
    ) -> Float[Tensor, ""]:
        """Return the mean over the right pairs."""
        right, wrong = align_scores[:, 0].float().chunk(2)
        logits = torch.cat([right[:, None], wrong.expand(len(right), -1)], dim=1)
        return F.cross_entropy(logits, torch.zeros_like(right, dtype=torch.long))


def _nce(
    scores: Float[Tensor, "queries candidates"],
    positives: Bool[Tensor, "queries candidates"] | None,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of rows; unless told, the right column is their own number."""
    targets = torch.arange(len(scores), device=scores.device)
    if positives is not None:
        targets = positives / positives.sum(1, keepdim=True)
    return F.cross_entropy(scores.float(), targets)


def _transposed_nce(
    scores: Float[Tensor, "candidates queries"],
    positives: Bool[Tensor, "candidates queries"] | None,
) -> Float[Tensor, ""]:
    return _nce(scores.T, None if positives is None else positives.T)
