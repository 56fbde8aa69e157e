"""Sliding windows: how a video that is longer than a model's sequence is seen in whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import Layout
from mmvt.processors.text.tokenizer import load_tokenizer, special_ids


def window_slices(num_steps: int, stride: int, size: int) -> list[slice]:
    """Return the windows over a video: one every ``stride`` steps, until one reaches the end.

    Args:
        num_steps: length of the video.
        stride: steps from the start of a window to the start of the next.
        size: steps of a window; the last one may have fewer.
    """
    count = 1 + max(0, -(-(num_steps - size) // stride))
    starts = range(0, count * stride, stride)
    return [slice(start, min(start + size, num_steps)) for start in starts]


class Windows:
    """Writes a video as windows that stand in place of a batch.

    Source: VideoCLIP (arXiv 2109.14084) §4, token-level tasks.

    Args:
        layout: writes each window into tensors.
        bert_name: name or folder of the tokenizer, for the ids of its special tokens.
        max_video_len: length of the video part of the sequence, in feature steps.
        stride: steps from the start of a window to the start of the next.
        size: steps of a window.
    """

    def __init__(
        self, *, layout: Layout, bert_name: str, max_video_len: int, stride: int, size: int
    ) -> None:
        if not 1 <= stride <= size <= max_video_len:
            raise ConfigError(
                f"sliding_window {stride} must be at least 1 and at most sliding_window_size "
                f"{size}, which must be at most max_video_len {max_video_len}, or steps of the "
                "video are in no window"
            )
        self.layout = layout
        self.stride, self.size = stride, size
        special = special_ids(load_tokenizer(bert_name))
        # the [PAD] and its [SEP] stand for a text, as in what the published models were trained on
        self.caps = torch.tensor([special.cls, special.sep, special.pad, special.sep])
        self.cmasks = torch.tensor([False, True, False, True])

    def __call__(
        self, video_features: Float[np.ndarray, "steps *grid dim"]
    ) -> tuple[list[slice], dict[str, Any]]:
        """Return the windows' steps, and the video as an example without a text.

        ``vfeats`` and ``vmasks`` have the windows as first dimension, as have ``caps`` and
        ``cmasks``: ``[CLS] [SEP] [PAD] [SEP]``, of which a model sees both ``[SEP]``.

        Raises:
            DataError: the video has no step.
        """
        if len(video_features) == 0:
            raise DataError("the video has no step")
        steps = window_slices(len(video_features), self.stride, self.size)
        written = [self.layout(video_features[window], []) for window in steps]
        return steps, {
            "vfeats": torch.stack([window["vfeats"] for window in written]),
            "vmasks": torch.stack([window["vmasks"] for window in written]),
            "caps": self.caps.repeat(len(steps), 1),
            "cmasks": self.cmasks.repeat(len(steps), 1),
            "num_windows": len(steps),
            "video_len": len(video_features),
        }
