"""The encoders of experts: what frozen models made of a video, as tokens of a trunk."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.expert_order import MAIN
from mmvt.models.base import Encoder
from mmvt.models.encoders import INITIAL_STD
from mmvt.models.expert_shapes import ExpertShape, expert_shapes
from mmvt.models.token_budget import MapSize, plan_tokens


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
        tokens_a_step: what becomes of a map: one token of the ``mean`` of its rows; ``all``; a
            number k for the means of k × k parts of it; or ``auto``, the largest k that the
            ``token_budget`` has room for.
        token_budget: most tokens of a video; null = as many as there are.
        dropout: share of the values of the features that is left out in training.

    Raises:
        ConfigError: a number is impossible, or the tokens do not fit the budget.
    """

    produces = ("video_embeddings", "token_masks")

    def __init__(
        self,
        *,
        hidden_size: int,
        max_video_len: int,
        input_dim: int = 512,
        grid: int = 1,
        tokens_a_step: Literal["mean", "all", "auto"] | int = "all",
        token_budget: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if grid < 1:
            raise ConfigError(f"grid is {grid}, but must be at least 1")
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout is {dropout}, but must be from 0 to below 1")
        self.grid, self.rows, self.input_dim = grid, grid * grid, input_dim
        size = MapSize(max_video_len, grid, tokens_a_step)
        self.side = plan_tokens({MAIN: size}, token_budget)[MAIN]
        self.cells = self.side**2
        self.dropout = nn.Dropout(dropout)
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
        rows = self._pooled(rows).to(self.projection.weight.dtype)
        tokens = self.projection(self.norm(self.dropout(rows)))
        places = self.step.weight[: rows.shape[1], None] + self.cell.weight + self.modality
        return {
            "video_embeddings": (tokens + places).flatten(1, 2),
            "token_masks": vmasks.repeat_interleave(self.cells, dim=1),
        }

    def _pooled(
        self, rows: Float[Tensor, "batch video_len rows dim"]
    ) -> Float[Tensor, "batch video_len cells dim"]:
        """Return the means of ``side`` × ``side`` parts of each map, which overlap if they must."""
        if self.side == self.grid:
            return rows
        if self.side == 1:
            return rows.mean(2, keepdim=True)
        batch, steps, _, dim = rows.shape
        maps = rows.reshape(batch * steps, self.grid, self.grid, dim).permute(0, 3, 1, 2)
        parts = nn.functional.adaptive_avg_pool2d(maps, self.side)
        return parts.flatten(2).transpose(1, 2).reshape(batch, steps, self.cells, dim)


class ExpertsEncoder(Encoder):
    """Tokens of several experts, one expert after the other: ``video``, then the others by name.

    Each has an :class:`ExpertEncoder` of its own: projection, and embeddings of modality, cell and
    time. Its features are the columns that
    :class:`~mmvt.processors.video.experts.ExpertsVideoProcessor` put into a step of the video.
    Where an expert has nothing to say its tokens are masked.

    Source: VPT (arXiv 2304.10505) §3.

    Args:
        hidden_size: width of the tokens.
        max_video_len: most steps of the video.
        experts: by name, ``input_dim``, ``grid`` (1 unless set), ``rows`` (1 unless set; how often
            a step of the video holds a step of the expert) and ``tokens_a_step`` (``auto`` unless
            set; see :class:`ExpertEncoder`). ``video`` are the features of the video itself.
        token_budget: most tokens of a video, of all experts together; null = as many as there are.
        dropout: share of the values of the features that is left out in training.

    Raises:
        ConfigError: the description of an expert is wrong, or the tokens do not fit the budget.
    """

    produces = ("video_embeddings", "token_masks")

    def __init__(
        self,
        *,
        hidden_size: int,
        max_video_len: int,
        experts: dict[str, Any],
        token_budget: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shapes = expert_shapes(experts)
        sizes = {
            name: MapSize(max_video_len * shape.rows, shape.grid, shape.tokens_a_step)
            for name, shape in self.shapes.items()
        }
        sides = plan_tokens(sizes, token_budget)
        self.experts = nn.ModuleDict(
            {
                name: ExpertEncoder(
                    hidden_size=hidden_size,
                    max_video_len=sizes[name].steps,
                    input_dim=shape.input_dim,
                    grid=shape.grid,
                    tokens_a_step=sides[name],
                    dropout=dropout,
                )
                for name, shape in self.shapes.items()
            }
        )

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        vfeats: Float[Tensor, "batch video_len columns"],
        vmasks: Bool[Tensor, "batch video_len"],
    ) -> dict[str, Tensor]:
        """Return ``video_embeddings`` (batch, tokens, hidden) and ``token_masks`` (batch, tokens).

        Raises:
            ConfigError: the features have other columns than the experts together.
        """
        widths = [shape.columns for shape in self.shapes.values()]
        if vfeats.ndim != 3 or vfeats.shape[2] != sum(widths):
            told = ", ".join(f"{name} {shape.columns}" for name, shape in self.shapes.items())
            raise ConfigError(
                f"a step of the features has shape {tuple(vfeats.shape[2:])}, but the experts have "
                f"{sum(widths)} columns ({told}); video_processor must be ExpertsVideoProcessor"
            )
        outputs = [
            self.experts[name](*_apart(columns, vmasks, shape))
            for (name, shape), columns in zip(
                self.shapes.items(), vfeats.split(widths, dim=2), strict=True
            )
        ]
        return {port: torch.cat([own[port] for own in outputs], dim=1) for port in self.produces}


def _apart(
    columns: Float[Tensor, "batch video_len columns"],
    vmasks: Bool[Tensor, "batch video_len"],
    shape: ExpertShape,
) -> tuple[Float[Tensor, "batch steps cells dim"], Bool[Tensor, "batch steps"]]:
    """Return the features and the mask of an expert's own steps."""
    masks = vmasks[..., None]
    if not shape.is_main:
        columns, there = columns[..., : -shape.rows], columns[..., -shape.rows :]
        masks = masks & (there > 0)
    maps = columns.reshape(len(columns), -1, shape.grid**2, shape.input_dim)
    return maps, masks.flatten(1)
