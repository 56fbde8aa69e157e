"""The head of dual encoders: one vector a video, one a text, and their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.models.base import Head
from mmvt.models.pooling import pool_text, pool_video

KEY_BASE = 6364136223846793005  # Knuth's multiplier modulo 2**64 (MMIX)
MAX_SCALE = 100.0  # CLIP's bound on 1 / temperature (arXiv 2103.00020 §2.5)


class ContrastiveHead(Head):
    """Pools both sequences and scores every video against every text.

    ``scores[i, j]`` is video i · text j, divided by the temperature; there may be more texts than
    videos, as with several candidates each. With ``gather`` the scores of
    a training batch are those of the batches of all workers together, rank by rank; the pooled
    vectors returned are always the worker's own.

    Source: VideoCLIP (arXiv 2109.14084) §3.2.

    Args:
        normalize: scale pooled vectors to length 1.
        temperature: divides the scores; null = 1.
        learned_temperature: learn the temperature from that value on; it stays above 0.01.
        gather: let the pairs of all workers be negatives of one another, in training.
        duplicates: what two pairs of the same video, or with the same caption, are to each other:
            ``negatives`` like any others, or ``positives``, which a loss shares its targets among.
    """

    produces = ("pooled_video", "pooled_text", "scores")
    defaults: ClassVar[Mapping[str, str]] = {
        "trunk": "SeparateTrunk",
        "loss": "SymmetricNCE",
        "layout": "VideoTextLayout",
        "predictor": "RetrievalPredictor",
        "metric": "RetrievalMetric",
    }

    def __init__(
        self,
        *,
        normalize: bool = False,
        temperature: float | None = None,
        learned_temperature: bool = False,
        gather: bool = False,
        duplicates: Literal["negatives", "positives"] = "negatives",
    ) -> None:
        super().__init__()
        if temperature is not None and not 0 < temperature < math.inf:
            raise ConfigError(f"temperature is {temperature}, but must be above 0")
        scale = 1.0 if temperature is None else 1.0 / temperature
        self.normalize = normalize
        self.gather = gather
        self.duplicates = duplicates
        self.log_scale: nn.Parameter | None = None
        self.scale = scale
        if learned_temperature:
            self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        hidden_video: Float[Tensor, "batch video_states hidden"],
        hidden_text: Float[Tensor, "texts text_states hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        cmasks: Bool[Tensor, "texts text_len"],
        caps: Int[Tensor, "texts text_len"] | None = None,
        video_key: Int[Tensor, " batch"] | None = None,
    ) -> dict[str, Tensor]:
        """Return ``pooled_video`` (batch, hidden), ``pooled_text`` (texts, hidden) and ``scores``.

        Where duplicates are positives, ``positives`` says which scores are of a right pair.

        Args:
            hidden_video: states of the videos.
            hidden_text: states of the texts.
            vmasks: which frames are real.
            cmasks: which tokens are real.
            caps: the tokens, to find equal captions by.
            video_key: a number a video, to find pairs of the same video by.

        Raises:
            ConfigError: duplicates are positives, but there are neither tokens nor numbers, or not
                one text a video.
        """
        video, text = pool_video(hidden_video, vmasks), pool_text(hidden_text, cmasks)
        if self.normalize:
            video, text = F.normalize(video, dim=-1), F.normalize(text, dim=-1)
        scores = self._all_rows(video) @ self._all_rows(text).T * self._scale()
        outputs = {"pooled_video": video, "pooled_text": text, "scores": scores}
        if self.duplicates == "positives":
            if len(text) != len(video):
                raise ConfigError("duplicates are positives, but there is not one text a video")
            keys = [] if caps is None else [caption_keys(caps, cmasks)]
            keys += [] if video_key is None else [video_key]
            outputs["positives"] = self._same(keys)
        return outputs

    def _same(self, keys: list[Int[Tensor, " batch"]]) -> Bool[Tensor, "all all"]:
        """Return which pairs share one of their keys."""
        if not keys:
            raise ConfigError("duplicates are positives, but there is nothing to find them by")
        rows = self._all_rows(torch.stack(keys, dim=1))
        return (rows[:, None] == rows).any(-1)

    def _all_rows(self, rows: Tensor) -> Tensor:
        """Return the rows of all workers where they are gathered, else those given."""
        if self.gather and self.training and dist.is_initialized():
            return gather_rows(rows)
        return rows

    def _scale(self) -> Tensor | float:
        if self.log_scale is None:
            return self.scale
        return self.log_scale.exp().clamp(max=MAX_SCALE)


def caption_keys(
    caps: Int[Tensor, "batch text_len"], cmasks: Bool[Tensor, "batch text_len"]
) -> Int[Tensor, " batch"]:
    """Return a number a caption: equal for equal tokens, however much padding follows them."""
    place = torch.arange(caps.shape[1], device=caps.device)
    # powers of an odd number, modulo 2**64 as integers are
    powers = torch.full_like(place, KEY_BASE).where(place > 0, 1).cumprod(0)
    return (caps.masked_fill(~cmasks, 0) * powers).sum(1)


def gather_rows(rows: Float[Tensor, "own dim"]) -> Float[Tensor, "all dim"]:
    """Return the rows of all workers, rank by rank; workers may have different numbers of them.

    The gradient of a worker's rows is the sum of what all workers ask of them. Where every worker
    computes the same loss L of the gathered rows, that is W · dL/drows on each of W workers; the
    usual averaging of parameter gradients over workers divides by W and leaves dL/dparameters, the
    gradient of one process that holds all rows. A parameter behind the gathering has dL/dparameter
    on every worker, and so in the mean.
    """
    gathered: Tensor = _GatherRows.apply(rows)
    return gathered


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        workers, rank = dist.get_world_size(), dist.get_rank()
        counts = torch.zeros(workers, dtype=torch.long, device=rows.device)
        counts[rank] = len(rows)
        dist.all_reduce(counts)
        sizes: list[int] = counts.tolist()
        ctx.own = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        # gathering takes equal shapes only
        padded = rows.new_zeros(max(sizes), rows.shape[1])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.own]
