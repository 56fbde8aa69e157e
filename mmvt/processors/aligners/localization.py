"""The aligner of step localization: where in a long video each step of a task is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from typing_extensions import override

from mmvt.processors.aligners.windows import Windows
from mmvt.processors.base import Aligner, Layout, TextClips
from mmvt.processors.labels import StepClips, labelled


class StepLocalizationAligner(Aligner):
    """Windows of a video, the text of each step of its task, and which of them each frame shows.

    ``caps`` are the texts of the steps; what goes with the windows is ``window_caps``. ``targets``
    (frames, steps) has the real frames of all windows, one window after another, and is 1 where a
    step is done.

    Source: VideoCLIP (arXiv 2109.14084) §4, action step localization.

    Args:
        layout: writes each window, and each text, into tensors.
        bert_name: name or folder of the tokenizer, for the ids of its special tokens.
        max_video_len: length of the video part of the sequence, in feature steps.
        sliding_window: steps from the start of a window to the start of the next.
        sliding_window_size: steps of a window.
    """

    produces = ("targets", "window_caps", "window_cmasks", "num_windows", "video_len", "task")

    def __init__(
        self,
        *,
        layout: Layout,
        bert_name: str,
        max_video_len: int,
        sliding_window: int,
        sliding_window_size: int,
    ) -> None:
        self.layout = layout
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
        clips = labelled(clips, StepClips)
        windows, example = self.windows(video_features)
        done = torch.zeros(len(video_features), len(clips))
        for label, steps in clips.spans.steps(len(video_features)):
            done[steps, label] = 1
        texts = [self.layout(video_features[:1], words) for words in clips.cap]
        return {
            **example,
            "window_caps": example["caps"],
            "window_cmasks": example["cmasks"],
            "caps": torch.stack([text["caps"] for text in texts]),
            "cmasks": torch.stack([text["cmasks"] for text in texts]),
            "targets": torch.cat([done[window] for window in windows]),
            "task": clips.task,
        }
