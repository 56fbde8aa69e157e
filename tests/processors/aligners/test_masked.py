from __future__ import annotations

import numpy as np
import pytest
import torch

from mmvt.errors import ConfigError
from mmvt.processors.aligners.masked import MFMMLMAligner
from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Sampler, TextClips
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.masking import FrameTokenMasker
from mmvt.processors.sampling import FixedLenSampler, VariedLenSampler
from mmvt.seeding import generator

FEATURES = np.arange(12, dtype=np.float16).reshape(6, 2)
CLIPS = TextClips(np.array([0.0, 2.0, 4.0]), np.array([2.0, 4.0, 6.0]), [[5, 6], [7], [8, 9, 10]])
SIZES = {"max_video_len": 3, "max_len": 10}


@pytest.fixture(scope="module")
def layout(tiny_bert: str) -> VideoTextLayout:
    return VideoTextLayout(**SIZES, bert_name=tiny_bert)


@pytest.mark.parametrize(
    ("lengths", "sampler"),
    [
        ({}, FixedLenSampler(**SIZES)),
        (
            {"sampled_min_len": 1, "sampled_max_len": 3},
            VariedLenSampler(sampled_min_len=1, sampled_max_len=3),
        ),
    ],
)
def test_it_is_a_sampler_a_layout_and_a_masker(
    layout: VideoTextLayout, tiny_bert: str, lengths: dict[str, int], sampler: Sampler
) -> None:
    masking = {"mm_type": "textgen", "lazy_vfeat_mask": False, "mfm_probability": 0.4}
    named = MFMMLMAligner(layout=layout, bert_name=tiny_bert, **SIZES, **lengths, **masking)
    masker = FrameTokenMasker(bert_name=tiny_bert, **masking)
    composed = SampledAligner(sampler=sampler, layout=layout, masker=masker)
    for index in range(20):
        one = named("v", FEATURES, CLIPS, generator(1, 1, index))
        other = composed("v", FEATURES, CLIPS, generator(1, 1, index))
        assert set(one) >= {*named.produces, "caps", "cmasks", "vfeats", "vmasks"}
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_subsamples_are_masked_each_on_its_own(layout: VideoTextLayout, tiny_bert: str) -> None:
    aligner = MFMMLMAligner(layout=layout, bert_name=tiny_bert, **SIZES, subsampling=12)
    example = aligner("v", FEATURES, CLIPS, generator(1, 1, 0))
    assert example["text_label"].shape == (12, 7)
    assert example["video_label"].shape == (12, 3)
    assert len({tuple(row) for row in example["video_label"].tolist()}) > 1


@pytest.mark.faults
def test_features_of_the_store_are_never_zeroed(layout: VideoTextLayout, tiny_bert: str) -> None:
    masking = {"mfm_probability": 1.0, "mm_prob": 0.0, "lazy_vfeat_mask": False}
    aligner = MFMMLMAligner(layout=layout, bert_name=tiny_bert, **SIZES, **masking)
    features = np.ones((6, 2), np.float32)
    assert not aligner("v", features, CLIPS, generator(1, 1, 0))["vfeats"].any()
    assert features.all()


def test_half_a_range_of_lengths_is_refused(layout: VideoTextLayout, tiny_bert: str) -> None:
    with pytest.raises(ConfigError, match="go together; one is unset"):
        MFMMLMAligner(layout=layout, bert_name=tiny_bert, **SIZES, sampled_max_len=4)
