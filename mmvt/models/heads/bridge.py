"""The head of the bridge: mean vectors of length 1, compared by their cosine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.models.base import Head
from mmvt.models.pooling import masked_mean


class CosineHead(Head):
    """Scores every video against every text by the cosine of their mean states.

    The mean of a video is over its steps, that of a text over all of ``[CLS] w1 … wn [SEP]``, as
    sentence encoders are trained.

    Args:
        temperature: divides the scores; below 1 it makes training tell close pairs apart.
    """

    produces = ("pooled_video", "pooled_text", "scores")
    defaults: ClassVar[Mapping[str, str]] = {
        "trunk": "SentenceTrunk",
        "loss": "SymmetricNCE",
        "layout": "VideoTextLayout",
        "predictor": "RetrievalPredictor",
        "metric": "RetrievalMetric",
    }

    def __init__(self, *, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ConfigError(f"temperature is {temperature}, but must be above 0")
        self.temperature = temperature

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        hidden_video: Float[Tensor, "batch video_len hidden"],
        hidden_text: Float[Tensor, "batch text_states hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        cmasks: Bool[Tensor, "batch text_len"],
    ) -> dict[str, Tensor]:
        """Return ``pooled_video``, ``pooled_text`` (batch, hidden), ``scores`` (batch, batch)."""
        video = F.normalize(masked_mean(hidden_video, vmasks), dim=-1)
        # the second column of caps is the video's [SEP]
        words = torch.cat([cmasks[:, :1], cmasks[:, 2:]], dim=1)
        text = F.normalize(masked_mean(hidden_text, words), dim=-1)
        return {
            "pooled_video": video,
            "pooled_text": text,
            "scores": video @ text.T / self.temperature,
        }
