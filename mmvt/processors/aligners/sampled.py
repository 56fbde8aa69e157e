"""Aligners that are a sampler and a layout: what to take, and how to write it down."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.processors.base import Aligner, Layout, Masker, Sampler, TextClips
from mmvt.processors.sampling import (
    FixedLenSampler,
    OverlappedSampler,
    StartClipSampler,
    VariedLenSampler,
)


class SampledAligner(Aligner):
    """One or several samples of a video and its captions.

    Args:
        sampler: chooses video steps and captions.
        layout: writes them into tensors.
        masker: hides a part of each sample and adds labels; null = nothing is hidden.
        subsampling: independent samples of one video; more than one are stacked in a new first
            dimension.
    """

    shows_experts = True

    def __init__(
        self,
        *,
        sampler: Sampler,
        layout: Layout,
        masker: Masker | None = None,
        subsampling: int = 1,
    ) -> None:
        if subsampling < 1:
            raise ConfigError(f"subsampling is {subsampling}, but must be at least 1")
        self.sampler = sampler
        self.layout = layout
        self.masker = masker
        self.subsampling = subsampling

    @override
    def __call__(
        self,
        video_id: str,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Tensor]:
        samples = [self._sample(video_features, clips, rng) for _ in range(self.subsampling)]
        if self.subsampling == 1:
            return samples[0]
        return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}

    def _sample(
        self,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        steps, chosen = self.sampler(clips, len(video_features), rng)
        text_ids = [token for index in chosen for token in clips.cap[index]]
        sample = self.layout.of_clip(clips, steps)(video_features[steps], text_ids)
        return sample if self.masker is None else self.masker(sample, rng)


class FixedLenAligner(SampledAligner):
    """Captions grown until the text is full, and the video they cover (VLM).

    Args:
        layout: writes the sample into tensors.
        max_video_len: length of the video part of the sequence, in feature steps.
        max_len: length of the whole sequence, in tokens.
        keep_prob: probability with which a neighbouring caption is taken, not skipped.
        subsampling: independent samples of one video.
    """

    def __init__(
        self,
        *,
        layout: Layout,
        max_video_len: int,
        max_len: int,
        keep_prob: float = 1.0,
        subsampling: int = 1,
    ) -> None:
        sampler = FixedLenSampler(max_video_len=max_video_len, max_len=max_len, keep_prob=keep_prob)
        super().__init__(sampler=sampler, layout=layout, subsampling=subsampling)


class StartClipAligner(SampledAligner):
    """The first captions until the text is full, and the video they cover.

    Args:
        layout: writes the sample into tensors.
        max_video_len: length of the video part of the sequence, in feature steps.
        max_len: length of the whole sequence, in tokens.
        keep_prob: probability with which the next caption is taken, not skipped.
        subsampling: independent samples of one video.
    """

    def __init__(
        self,
        *,
        layout: Layout,
        max_video_len: int,
        max_len: int,
        keep_prob: float = 1.0,
        subsampling: int = 1,
    ) -> None:
        sampler = StartClipSampler(
            max_video_len=max_video_len, max_len=max_len, keep_prob=keep_prob
        )
        super().__init__(sampler=sampler, layout=layout, subsampling=subsampling)


class VariedLenAligner(SampledAligner):
    """Captions grown up to a random length, and the video they cover.

    Args:
        layout: writes the sample into tensors.
        sampled_min_len: fewest tokens at which captions stop growing.
        sampled_max_len: most tokens at which captions stop growing.
        keep_prob: probability with which a neighbouring caption is taken, not skipped.
        subsampling: independent samples of one video.
    """

    def __init__(
        self,
        *,
        layout: Layout,
        sampled_min_len: int = 8,
        sampled_max_len: int = 64,
        keep_prob: float = 1.0,
        subsampling: int = 1,
    ) -> None:
        sampler = VariedLenSampler(
            sampled_min_len=sampled_min_len, sampled_max_len=sampled_max_len, keep_prob=keep_prob
        )
        super().__init__(sampler=sampler, layout=layout, subsampling=subsampling)


class OverlappedAligner(SampledAligner):
    """Captions and a video clip that overlap without sharing their borders (VideoCLIP).

    Args:
        layout: writes the sample into tensors.
        max_video_len: length of the video part of the sequence, in feature steps.
        sampled_min_len: fewest tokens at which captions stop growing.
        sampled_max_len: most tokens at which captions stop growing.
        sampled_video_min_len: shortest video clip, in feature steps.
        sampled_video_max_len: longest video clip, in feature steps; ``max_video_len`` if unset.
        keep_prob: probability with which a neighbouring caption is taken, not skipped.
        subsampling: independent samples of one video.
    """

    def __init__(
        self,
        *,
        layout: Layout,
        max_video_len: int,
        sampled_min_len: int = 8,
        sampled_max_len: int = 64,
        sampled_video_min_len: int = 3,
        sampled_video_max_len: int | None = None,
        keep_prob: float = 1.0,
        subsampling: int = 1,
    ) -> None:
        sampler = OverlappedSampler(
            max_video_len=max_video_len,
            sampled_min_len=sampled_min_len,
            sampled_max_len=sampled_max_len,
            sampled_video_min_len=sampled_video_min_len,
            sampled_video_max_len=sampled_video_max_len,
            keep_prob=keep_prob,
        )
        super().__init__(sampler=sampler, layout=layout, subsampling=subsampling)
