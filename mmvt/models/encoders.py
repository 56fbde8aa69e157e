"""Encoders: features of one modality to token embeddings of the trunk's width."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.models.base import Encoder

INITIAL_STD = 0.02  # BERT's: video and word embeddings start at the same scale


class VideoTokenMLP(Encoder):
    """Makes one token of each step of video features: linear, GELU, LayerNorm, linear.

    Frames that are masked become the token of a row of zeros, so that a model has to tell what
    they were; their own tokens are what it is measured by. The features given are not changed.

    Source: VideoCLIP (arXiv 2109.14084) §3.1; masked frames: VLM (arXiv 2105.09996) §3.

    Args:
        hidden_size: width of the tokens.
        input_dim: width of a feature row.
        grid: features are a ``grid`` × ``grid`` map of rows a step; 1 = one row.
        grid_pooling: what becomes of a map: the ``mean`` of its rows, or all of them side by side
            (``concat``), which keeps where in the frame a thing is.
    """

    produces = ("video_embeddings", "frame_embeddings")

    def __init__(
        self,
        *,
        hidden_size: int,
        input_dim: int = 512,
        grid: int = 1,
        grid_pooling: Literal["mean", "concat"] = "mean",
    ) -> None:
        super().__init__()
        if grid < 1:
            raise ConfigError(f"grid is {grid}, but must be at least 1")
        self.input_dim = input_dim
        self.rows = grid * grid
        self.grid_pooling = grid_pooling
        width = input_dim * (self.rows if grid_pooling == "concat" else 1)
        # names of the original's checkpoints
        self.linear1 = nn.Linear(width, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=1e-5)
        self.linear2 = nn.Linear(hidden_size, hidden_size)
        for linear in (self.linear1, self.linear2):
            nn.init.normal_(linear.weight, std=INITIAL_STD)
            nn.init.zeros_(linear.bias)

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        vfeats: Float[Tensor, "batch video_len *rows dim"],
        video_label: Bool[Tensor, "batch video_len"] | None = None,
    ) -> dict[str, Tensor]:
        """Return ``video_embeddings`` and ``frame_embeddings`` (batch, video_len, hidden_size).

        Both are the same unless ``video_label`` says which frames are masked; the masked ones are
        missing in ``video_embeddings`` alone.

        Raises:
            ConfigError: the features have another width, or another number of rows a step.
        """
        frames = self._tokens(self._one_row(vfeats))
        if video_label is None:
            return {"video_embeddings": frames, "frame_embeddings": frames}
        blank = self._tokens(vfeats.new_zeros(self.linear1.in_features))
        shown = torch.where(video_label[..., None], blank, frames)
        return {"video_embeddings": shown, "frame_embeddings": frames}

    def _tokens(self, rows: Float[Tensor, "*steps width"]) -> Float[Tensor, "*steps hidden"]:
        states = self.LayerNorm(
            nn.functional.gelu(self.linear1(rows.to(self.linear1.weight.dtype)))
        )
        tokens: Tensor = self.linear2(states)
        return tokens

    def _one_row(
        self, vfeats: Float[Tensor, "batch video_len *rows dim"]
    ) -> Float[Tensor, "batch video_len width"]:
        rows = vfeats.flatten(2, -2) if vfeats.ndim > 3 else vfeats[:, :, None]
        if rows.shape[-1] != self.input_dim:
            raise ConfigError(
                f"features are {rows.shape[-1]} wide, but input_dim is {self.input_dim}"
            )
        if rows.shape[2] != self.rows:
            raise ConfigError(
                f"features have {rows.shape[2]} rows a step, but grid × grid is {self.rows}"
            )
        return rows.flatten(2) if self.grid_pooling == "concat" else rows.mean(2)
