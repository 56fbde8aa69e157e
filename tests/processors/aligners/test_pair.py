from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.base import TextClips
from mmvt.processors.layout import VideoTextLayout
from mmvt.seeding import generator


@pytest.fixture(scope="module")
def aligner(tiny_bert: str) -> PairAligner:
    layout = VideoTextLayout(max_video_len=3, max_len=10, bert_name=tiny_bert)
    return PairAligner(layout=layout)


CLIPS = TextClips(np.array([0.0, 4.0]), np.array([math.inf, 5.0]), [[5, 6], [7]])


@pytest.mark.parametrize(("steps", "real"), [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_a_pair_is_the_whole_video_and_its_first_caption(
    aligner: PairAligner, steps: int, real: int
) -> None:
    features = np.ones((steps, 2), np.float16)
    example = aligner("v", features, CLIPS, generator(1, 1, 0))
    assert example["caps"].tolist() == [2, 3, 5, 6, 3, 0, 0]
    assert example["vmasks"].sum() == real


def test_nothing_is_drawn(aligner: PairAligner) -> None:
    features = np.ones((2, 2), np.float16)
    rng = generator(1, 1, 0)
    aligner("v", features, CLIPS, rng)
    assert rng.random() == generator(1, 1, 0).random()
    assert torch.equal(
        aligner("v", features, CLIPS, rng)["caps"], aligner("w", features, CLIPS, rng)["caps"]
    )
