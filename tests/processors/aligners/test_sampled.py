from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from mmvt.errors import ConfigError
from mmvt.processors.aligners.sampled import (
    FixedLenAligner,
    OverlappedAligner,
    SampledAligner,
    StartClipAligner,
    VariedLenAligner,
)
from mmvt.processors.base import Sampler, TextClips
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.sampling import OverlappedSampler, VariedLenSampler, WholeSampler
from mmvt.seeding import generator


class StatedSampler(Sampler):
    """Takes the steps and captions it was told to, one after the other."""

    def __init__(self, samples: list[tuple[slice, Sequence[int]]]) -> None:
        self.samples = iter(samples)

    def __call__(
        self, clips: TextClips, num_steps: int, rng: np.random.Generator
    ) -> tuple[slice, Sequence[int]]:
        return next(self.samples)


@pytest.fixture(scope="module")
def layout(tiny_bert: str) -> VideoTextLayout:
    return VideoTextLayout(max_video_len=3, max_len=10, bert_name=tiny_bert)


@pytest.fixture
def clips() -> TextClips:
    return TextClips(
        np.array([0.0, 1.5, 3.0]), np.array([1.5, 3.0, 5.0]), [[5, 6], [7], [8, 9, 10]]
    )


FEATURES = np.arange(10, dtype=np.float16).reshape(5, 2)


def test_an_example_is_the_sampled_rows_and_words(
    layout: VideoTextLayout, clips: TextClips
) -> None:
    sampler = StatedSampler([(slice(3, 5), [0, 2])])
    example = SampledAligner(sampler=sampler, layout=layout)(
        "v", FEATURES, clips, generator(1, 1, 0)
    )
    assert example["caps"].tolist() == [2, 3, 5, 6, 8, 9, 3]
    assert example["cmasks"].tolist() == [True] * 7
    assert example["vfeats"].tolist() == [[6, 7], [8, 9], [0, 0]]
    assert example["vmasks"].tolist() == [True, True, False]


@pytest.mark.parametrize(("subsampling", "shape"), [(1, (7,)), (2, (2, 7)), (3, (3, 7))])
def test_subsamples_are_stacked_in_a_new_dimension(
    layout: VideoTextLayout, clips: TextClips, subsampling: int, shape: tuple[int, ...]
) -> None:
    aligner = SampledAligner(sampler=WholeSampler(), layout=layout, subsampling=subsampling)
    example = aligner("v", FEATURES, clips, generator(1, 1, 0))
    assert example["caps"].shape == shape
    assert example["vfeats"].shape == (*shape[:-1], 3, 2)


def test_subsamples_are_drawn_one_by_one(layout: VideoTextLayout, clips: TextClips) -> None:
    lengths = {"sampled_min_len": 1, "sampled_max_len": 4, "sampled_video_min_len": 1}
    aligner = OverlappedAligner(layout=layout, max_video_len=3, subsampling=8, **lengths)
    example = aligner("v", FEATURES, clips, generator(1, 1, 0))
    assert len({tuple(row) for row in example["caps"].tolist()}) > 1
    again = aligner("v", FEATURES, clips, generator(1, 1, 0))
    assert all(torch.equal(example[key], again[key]) for key in example)


def test_no_sample_is_refused(layout: VideoTextLayout) -> None:
    with pytest.raises(ConfigError, match="subsampling is 0"):
        SampledAligner(sampler=WholeSampler(), layout=layout, subsampling=0)


def test_overlapped_is_its_sampler_and_a_layout(layout: VideoTextLayout, clips: TextClips) -> None:
    lengths = {
        "max_video_len": 3,
        "sampled_min_len": 1,
        "sampled_max_len": 4,
        "sampled_video_min_len": 1,
        "sampled_video_max_len": 2,
        "keep_prob": 0.5,
    }
    named = OverlappedAligner(layout=layout, **lengths)
    composed = SampledAligner(sampler=OverlappedSampler(**lengths), layout=layout)
    for index in range(20):
        one = named("v", FEATURES, clips, generator(1, 1, index))
        other = composed("v", FEATURES, clips, generator(1, 1, index))
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_fixed_len_fills_the_text_and_shows_what_it_tells(
    layout: VideoTextLayout, clips: TextClips
) -> None:
    aligner = FixedLenAligner(layout=layout, max_video_len=3, max_len=10)
    seen = {}
    for index in range(40):
        example = aligner("v", FEATURES, clips, generator(1, 1, index))
        words = tuple(example["caps"][example["cmasks"]].tolist()[2:-1])
        seen[words] = example["vfeats"][example["vmasks"]].tolist()
    # four words fit; the video is cut to three steps
    assert seen == {
        (5, 6, 7, 8): [[0, 1], [2, 3], [4, 5]],
        (7, 8, 9, 10): [[2, 3], [4, 5], [6, 7]],
    }


def test_start_clip_fills_the_text_from_the_first_caption_on(
    layout: VideoTextLayout, clips: TextClips
) -> None:
    aligner = StartClipAligner(layout=layout, max_video_len=3, max_len=9)
    example = aligner("v", FEATURES, clips, generator(1, 1, 0))
    assert example["caps"].tolist() == [2, 3, 5, 6, 7, 3, 0]
    assert example["vfeats"][example["vmasks"]].tolist() == [[0, 1], [2, 3], [4, 5]]


def test_varied_len_is_its_sampler_and_a_layout(layout: VideoTextLayout, clips: TextClips) -> None:
    lengths = {"sampled_min_len": 1, "sampled_max_len": 4, "keep_prob": 0.5}
    named = VariedLenAligner(layout=layout, **lengths)
    composed = SampledAligner(sampler=VariedLenSampler(**lengths), layout=layout)
    for index in range(20):
        one = named("v", FEATURES, clips, generator(1, 1, index))
        other = composed("v", FEATURES, clips, generator(1, 1, index))
        assert all(torch.equal(one[key], other[key]) for key in one)
