"""Means over the real positions of a sequence."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def masked_mean(
    states: Float[Tensor, "batch length dim"], mask: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch dim"]:
    """Return the mean of the states where ``mask`` is true; zeros where it is nowhere true."""
    total = states.masked_fill(~mask[..., None], 0).sum(1)
    return total / mask.sum(1, keepdim=True).clamp(min=1)


def pool_video(
    hidden_video: Float[Tensor, "batch video_states hidden"],
    vmasks: Bool[Tensor, "batch video_len"],
) -> Float[Tensor, "batch hidden"]:
    """Return the mean over real frames and the video ``[SEP]`` of ``[CLS] v1 … vV [SEP]``.

    Source: VideoCLIP (arXiv 2109.14084) §3.2.
    """
    edge = torch.ones_like(vmasks[:, :1])
    return masked_mean(hidden_video, torch.cat([~edge, vmasks, edge], dim=1))


def pool_text(
    hidden_text: Float[Tensor, "batch text_states hidden"],
    cmasks: Bool[Tensor, "batch text_len"],
) -> Float[Tensor, "batch hidden"]:
    """Return the mean over the words and the closing ``[SEP]`` of ``[CLS] w1 … wn [SEP]``.

    Args:
        hidden_text: states of ``caps`` without its second column, the video's ``[SEP]``.
        cmasks: mask of ``caps``.

    Source: VideoCLIP (arXiv 2109.14084) §3.2.
    """
    return masked_mean(hidden_text[:, 1:], cmasks[:, 2:])
