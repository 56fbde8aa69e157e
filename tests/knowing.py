"""A model that nobody trained, but that knows the words: it finds all that a stand-in shows.

Features of the stand-ins are sums of one direction a word, and so are the states of texts here, so
that any slip of place, order or window shows in the figures.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmvt.models.base import Encoder, Head, Trunk
from mmvt.models.model import MultimodalModel
from tests.corpus import DIM
from tests.standins import WORDS, Scene

SPECIAL = 5


class Frames(Encoder):
    """Frames as they are."""

    produces = ("video_embeddings",)

    def forward(self, vfeats: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"video_embeddings": vfeats.float()}


class Words(Trunk):
    """Frames as they are, and the direction of each word."""

    produces = ("hidden_video", "hidden_text")
    hidden_size = DIM

    def __init__(self, directions: dict[str, np.ndarray]) -> None:
        super().__init__()
        rows = np.stack([np.zeros(DIM)] * SPECIAL + [directions[word] for word in WORDS])
        self.words = nn.Embedding.from_pretrained(torch.tensor(rows, dtype=torch.float32))

    def forward(  # type: ignore[override]
        self, video_embeddings: Tensor, caps: Tensor
    ) -> dict[str, Tensor]:
        edge = torch.zeros_like(video_embeddings[:, :1])
        return {
            "hidden_video": torch.cat([edge, video_embeddings, edge], dim=1),
            "hidden_text": self.words(torch.cat([caps[:, :1], caps[:, 2:]], dim=1)),
        }


def knowing_model(folder: Path, head: Head) -> MultimodalModel:
    """Return the model with a head; ``folder`` is for files that it does not need."""
    return MultimodalModel({"video": Frames()}, Words(Scene(folder / "words").directions), head)
