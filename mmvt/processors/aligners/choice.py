"""The aligner of multiple choice: a video and several texts, one of which is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from typing_extensions import override

from mmvt.errors import DataError
from mmvt.processors.base import Aligner, Layout, TextClips
from mmvt.processors.labels import ChoiceClips, labelled


class MultipleChoiceAligner(Aligner):
    """The whole video, each answer as its own text, and ``answer``, the place of the right one.

    ``caps`` and ``cmasks`` have the answers as first dimension.

    Args:
        layout: writes the video with each answer into tensors; it cuts what is too long.
    """

    produces = ("answer",)

    def __init__(self, *, layout: Layout) -> None:
        self.layout = layout

    @override
    def __call__(
        self,
        video_id: str,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        clips = labelled(clips, ChoiceClips)
        if not 0 <= clips.answer < len(clips):
            raise DataError(f"the answer is number {clips.answer} of {len(clips)}, from 0")
        written = [self.layout(video_features, words) for words in clips.cap]
        texts = {key: torch.stack([each[key] for each in written]) for key in ("caps", "cmasks")}
        return {**written[0], **texts, "answer": clips.answer}
