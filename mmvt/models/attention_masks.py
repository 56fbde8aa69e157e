"""Which positions of a sequence see which.

The joint sequence is ``[CLS] v1 … vV [SEP] w1 … wn [SEP] [PAD] …``. In a mask of it, row i says
which positions i sees. Padding is never seen; what a row of padding itself sees matters to nobody.
Masks are of booleans, so that they mean the same in every precision.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def joint_mask(
    vmasks: Bool[Tensor, "batch video_len"], cmasks: Bool[Tensor, "batch text_len"]
) -> Bool[Tensor, "batch length"]:
    """Return what is real in the joint sequence."""
    return torch.cat([cmasks[:, :1], vmasks, cmasks[:, 1:]], dim=1)


def isolated_parts(
    vmasks: Bool[Tensor, "batch video_len"], cmasks: Bool[Tensor, "batch text_len"]
) -> Int[Tensor, " length"]:
    """Return 0 for ``[CLS]``, 1 for the frames and the video's ``[SEP]``, 2 for the text."""
    place = torch.arange(vmasks.shape[1] + cmasks.shape[1], device=vmasks.device)
    return (place > 0).long() + (place > vmasks.shape[1] + 1)


def isolated_attention(
    vmasks: Bool[Tensor, "batch video_len"], cmasks: Bool[Tensor, "batch text_len"]
) -> Bool[Tensor, "batch length length"]:
    """Return the mask that keeps frames with the video's ``[SEP]``, text, and ``[CLS]`` apart.

    ``[CLS]`` sees itself even where ``cmasks`` says that it is not real.

    Source: VLM (arXiv 2105.09996) §3.
    """
    part = isolated_parts(vmasks, cmasks)
    seen = joint_mask(vmasks, cmasks)[:, None] & (part[:, None] == part)
    seen[:, 0, 0] = True
    return seen


def causal_attention(
    vmasks: Bool[Tensor, "batch video_len"],
    cmasks: Bool[Tensor, "batch text_len"],
    part: Literal["text", "video"],
) -> Bool[Tensor, "batch length length"]:
    """Return the mask that lets one part be generated from left to right, given the other.

    That part is seen only by its own real positions, by each up to itself: the text, or the frames
    and the video's ``[SEP]``. All else is seen by every position.
    """
    real = joint_mask(vmasks, cmasks)
    place = torch.arange(real.shape[1], device=real.device)
    separator = vmasks.shape[1] + 1
    generated = place > separator if part == "text" else (place > 0) & (place <= separator)
    before = generated[:, None] & (place[:, None] >= place) & real[..., None]
    return real[:, None] & (~generated | before)


def key_mask(mask: Bool[Tensor, "batch length"]) -> Bool[Tensor, "batch 1 length length"]:
    """Return the mask that lets every position see the positions of ``mask``, as layers take it.

    A row without any real position sees all of its padding: attention over nothing is not a number.
    """
    keys = mask | ~mask.any(1, keepdim=True)
    return keys[:, None, None, :].expand(-1, 1, mask.shape[1], -1)


def layer_mask(
    seen: Bool[Tensor, "batch length length"],
) -> Bool[Tensor, "batch 1 length length"]:
    """Return a mask as layers take it, the same for all heads; who sees nothing sees everything."""
    return (seen | ~seen.any(-1, keepdim=True))[:, None]
