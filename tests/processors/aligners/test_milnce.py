from __future__ import annotations

import numpy as np
import pytest

from mmvt.processors.aligners.milnce import MILNCEAligner
from mmvt.processors.base import TextClips
from mmvt.processors.layout import VideoTextLayout
from mmvt.seeding import generator

FEATURES = np.arange(30, dtype=np.float16)[:, None]
BORDERS = np.arange(0.0, 31, 5)
CLIPS = TextClips(BORDERS[:-1], BORDERS[1:], [[5], [6, 6], [7], [8], [9], [10]])


@pytest.fixture(scope="module")
def layout(tiny_bert: str) -> VideoTextLayout:
    return VideoTextLayout(max_video_len=4, max_len=9, bert_name=tiny_bert)


def test_an_example_is_three_steps_and_four_texts(layout: VideoTextLayout) -> None:
    seen = {}
    for index in range(200):
        example = MILNCEAligner(layout=layout)("v", FEATURES, CLIPS, generator(1, 1, index))
        assert example["vmasks"].tolist() == [True, True, True, False]
        assert example["cmasks"].shape == (4, 5)
        first = int(example["vfeats"][0, 0])
        seen[first // 5] = example["caps"].tolist()
        assert example["vfeats"][:, 0].tolist() == [first, first + 1, first + 2, 0]
    assert set(seen) == set(range(6))
    assert seen[0] == [[2, 3, 5, 3, 0], [2, 3, 6, 6, 3], [2, 3, 7, 3, 0], [2, 3, 8, 3, 0]]
    assert [text[2] for text in seen[5]] == [7, 8, 9, 10]


def test_subsamples_are_stacked_before_the_candidates(layout: VideoTextLayout) -> None:
    aligner = MILNCEAligner(layout=layout, subsampling=3)
    example = aligner("v", FEATURES, CLIPS, generator(1, 1, 0))
    shapes = {key: tuple(tensor.shape) for key, tensor in example.items()}
    assert shapes == {
        "caps": (3, 4, 5),
        "cmasks": (3, 4, 5),
        "vfeats": (3, 4, 1),
        "vmasks": (3, 4),
    }
