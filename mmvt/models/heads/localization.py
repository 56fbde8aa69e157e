"""The head that finds where in a video each of several sentences is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import override

from mmvt.models.base import Head
from mmvt.models.pooling import pool_text


class StepLocalizationHead(Head):
    """Scores every real frame of all windows against every step's text, by their dot product.

    It has no weights: what the trunk learnt of pairs is enough to find steps.

    Source: VideoCLIP (arXiv 2109.14084) §4, action step localization.
    """

    produces = ("logits",)
    defaults: ClassVar[Mapping[str, str]] = {
        "trunk": "SeparateTrunk",
        "loss": "BinaryCrossEntropy",
        "layout": "VideoTextLayout",
        "predictor": "StepLocalizationPredictor",
        "metric": "StepRecallMetric",
    }

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        hidden_video: Float[Tensor, "windows video_states hidden"],
        hidden_text: Float[Tensor, "steps text_states hidden"],
        vmasks: Bool[Tensor, "windows video_len"],
        cmasks: Bool[Tensor, "steps text_len"],
    ) -> dict[str, Tensor]:
        """Return ``logits`` (frames, steps): the real frames, window after window."""
        frames = hidden_video[:, 1:-1][vmasks]
        return {"logits": frames @ pool_text(hidden_text, cmasks).T}
