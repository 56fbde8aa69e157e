"""The aligner of action segmentation: the class of every step of a long video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from typing_extensions import override

from mmvt.processors.aligners.windows import Windows
from mmvt.processors.base import Aligner, Layout, TextClips
from mmvt.processors.labels import SpanClips, labelled
from mmvt.processors.masking import IGNORED


class SegmentationAligner(Aligner):
    """Windows of a video with the class of each step; steps outside all parts have class 0.

    Where parts overlap, the one that is listed later counts. ``targets`` (windows, video_len) is
    -100 on padding; ``video_targets`` (steps,) are the classes of the whole video.

    Source: VideoCLIP (arXiv 2109.14084) §4, action segmentation.

    Args:
        layout: writes each window into tensors.
        bert_name: name or folder of the tokenizer, for the ids of its special tokens.
        max_video_len: length of the video part of the sequence, in feature steps.
        sliding_window: steps from the start of a window to the start of the next.
        sliding_window_size: steps of a window.
    """

    produces = ("targets", "video_targets", "num_windows", "video_len")

    def __init__(
        self,
        *,
        layout: Layout,
        bert_name: str,
        max_video_len: int,
        sliding_window: int,
        sliding_window_size: int,
    ) -> None:
        self.windows = Windows(
            layout=layout,
            bert_name=bert_name,
            max_video_len=max_video_len,
            stride=sliding_window,
            size=sliding_window_size,
        )

    @override
    def __call__(
        self,
        video_id: str,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        windows, example = self.windows(video_features)
        classes = torch.zeros(len(video_features), dtype=torch.long)
        for label, steps in labelled(clips, SpanClips).spans.steps(len(video_features)):
            classes[steps] = label
        targets = torch.full_like(example["vmasks"], IGNORED, dtype=torch.long)
        targets[example["vmasks"]] = torch.cat([classes[window] for window in windows])
        return {**example, "targets": targets, "video_targets": classes}
