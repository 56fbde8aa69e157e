"""The encoder of experts: what a frozen model made of a video, as tokens of a trunk."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.models.base import Encoder
from mmvt.models.encoders import INITIAL_STD


class ExpertEncoder(Encoder):
    """Projects the features of an expert, and says of each token when, where and of what it is.

    A token is the LayerNorm and projection of a row, plus the embeddings of its step, of its cell
    where steps are maps, and of its modality.

    Source: VPT (arXiv 2304.10505) §3, which describes modality encodings; its code has none.

    Args:
        hidden_size: width of the tokens.
        max_video_len: most steps.
        input_dim: width of a feature row.
        grid: features are a ``grid`` × ``grid`` map of rows a step; 1 = one row.
        tokens_a_step: what becomes of a map: one token of the ``mean`` of its rows, or ``all``.
    """

    produces = ("video_embeddings", "token_masks")

    def __init__(
        self,
        *,
        hidden_size: int,
        max_video_len: int,
        input_dim: int = 512,
        grid: int = 1,
        tokens_a_step: Literal["mean", "all"] = "all",
    ) -> None:
        super().__init__()
        if grid < 1:
            raise ConfigError(f"grid is {grid}, but must be at least 1")
        self.rows, self.input_dim = grid * grid, input_dim
        self.cells = self.rows if tokens_a_step == "all" else 1
        self.norm = nn.LayerNorm(input_dim)
        self.projection = nn.Linear(input_dim, hidden_size)
        self.step = nn.Embedding(max_video_len, hidden_size)
        self.cell = nn.Embedding(self.cells, hidden_size)
        self.modality = nn.Parameter(torch.zeros(hidden_size))
        for weight in (self.step.weight, self.cell.weight, self.modality):
            nn.init.normal_(weight, std=INITIAL_STD)

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        vfeats: Float[Tensor, "batch video_len *rows dim"],
        vmasks: Bool[Tensor, "batch video_len"],
    ) -> dict[str, Tensor]:
        """Return ``video_embeddings`` (batch, video_len × cells, hidden) and ``token_masks``.

        Raises:
            ConfigError: the features have another width, or another number of rows a step.
        """
        rows = vfeats.flatten(2, -2) if vfeats.ndim > 3 else vfeats[:, :, None]
        if rows.shape[2:] != (self.rows, self.input_dim):
            raise ConfigError(
                f"features have {rows.shape[2]} rows of {rows.shape[3]} a step, but grid × grid "
                f"is {self.rows} and input_dim {self.input_dim}"
            )
        if self.cells != self.rows:
            rows = rows.mean(2, keepdim=True)
        tokens = self.projection(self.norm(rows.to(self.projection.weight.dtype)))
        places = self.step.weight[: rows.shape[1], None] + self.cell.weight + self.modality
        return {
            "video_embeddings": (tokens + places).flatten(1, 2),
            "token_masks": vmasks.repeat_interleave(self.cells, dim=1),
        }
