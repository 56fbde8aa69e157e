"""The aligner of moment retrieval: a video and a sentence about a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from mmvt.processors.base import Aligner, Layout, TextClips
from mmvt.processors.labels import MomentClips, labelled


class MomentAligner(Aligner):
    """The whole video, the sentence, and where people see it.

    ``moments`` lists (first, last) chunk of each annotator, and ``chunk`` is the length of a chunk
    in feature steps.

    Args:
        layout: writes video and sentence into tensors; it cuts what is too long.
    """

    produces = ("moments", "chunk")

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
        clips = labelled(clips, MomentClips)
        example = self.layout(video_features, clips.cap[0])
        return {**example, "moments": clips.moments.tolist(), "chunk": clips.chunk}
