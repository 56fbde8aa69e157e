"""The aligner of MIL-NCE: a few seconds of video and several captions, one of which may fit."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Layout, TextClips
from mmvt.processors.sampling import MILNCESampler


class MILNCEAligner(SampledAligner):
    """A few steps around a random caption, and each of the captions nearest to it as its own text.

    ``caps`` and ``cmasks`` have the candidates as a further dimension: (candidates, text_len), or
    (subsampling, candidates, text_len).

    Args:
        layout: writes the steps with each candidate into tensors.
        subsampling: independent samples of one video.
    """

    shows_experts = False

    def __init__(self, *, layout: Layout, subsampling: int = 1) -> None:
        super().__init__(sampler=MILNCESampler(), layout=layout, subsampling=subsampling)

    @override
    def _sample(
        self,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        steps, candidates = self.sampler(clips, len(video_features), rng)
        written = [self.layout(video_features[steps], clips.cap[index]) for index in candidates]
        texts = {key: torch.stack([each[key] for each in written]) for key in ("caps", "cmasks")}
        return {**written[0], **texts}
