"""The head that names each frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.models.base import Head
from mmvt.models.encoders import INITIAL_STD


class SegmentationHead(Head):
    """Scores every frame for every class, by one linear layer.

    Of a trunk that joins video and text it reads the last layer.

    Source: VideoCLIP (arXiv 2109.14084) §4, action segmentation.

    Args:
        hidden_size: width of the states.
        num_classes: classes, "no action" among them.
        dropout: share of each state that is dropped in training.
    """

    produces = ("logits",)
    defaults: ClassVar[Mapping[str, str]] = {
        "trunk": "SeparateTrunk",
        "loss": "CrossEntropy",
        "layout": "VideoTextLayout",
        "predictor": "SegmentationPredictor",
        "metric": "SegmentationMetric",
    }

    def __init__(self, *, hidden_size: int, num_classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        if num_classes < 1:
            raise ConfigError(f"num_classes is {num_classes}, but must be at least 1")
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size, num_classes)
        nn.init.normal_(self.classifier.weight, std=INITIAL_STD)
        nn.init.zeros_(self.classifier.bias)

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        hidden_video: Float[Tensor, "batch video_states hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        hidden: Float[Tensor, "batch length hidden"] | None = None,
    ) -> dict[str, Tensor]:
        """Return ``logits`` (batch, video_len, num_classes), of padding too."""
        states = hidden_video if hidden is None else hidden
        frames = states[:, 1 : vmasks.shape[1] + 1]
        return {"logits": self.classifier(self.dropout(frames))}
