from __future__ import annotations

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.processors.aligners.captioning import CaptioningAligner
from mmvt.processors.base import TextClips
from mmvt.processors.layout import VideoTextLayout
from mmvt.seeding import generator

FEATURES = np.arange(10, dtype=np.float16)[:, None]


@pytest.fixture(scope="module")
def layout(tiny_bert: str) -> VideoTextLayout:
    return VideoTextLayout(max_video_len=3, max_len=10, bert_name=tiny_bert)


def clips_of(*captions: tuple[float, float, list[int]]) -> TextClips:
    starts, ends, words = zip(*captions, strict=True)
    return TextClips(np.array(starts), np.array(ends), list(words))


def test_each_word_is_told_by_those_before(layout: VideoTextLayout, tiny_bert: str) -> None:
    aligner = CaptioningAligner(layout=layout, bert_name=tiny_bert)
    clips = clips_of((0.0, np.inf, [5, 6]))
    example = aligner("v", FEATURES, clips, generator(1, 1, 0))
    assert example["caps"].tolist() == [2, 3, 2, 5, 6, 0, 0]
    assert example["text_label"].tolist() == [-100, -100, 5, 6, 3, -100, -100]
    assert example["cmasks"].tolist() == [True] * 5 + [False] * 2
    assert example["vfeats"][:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("words", [[], [5], [5, 6, 7], [5, 6, 7, 8], [5, 6, 7, 8, 9, 10]])
def test_a_long_caption_is_cut_and_ends_all_the_same(
    layout: VideoTextLayout, tiny_bert: str, words: list[int]
) -> None:
    aligner = CaptioningAligner(layout=layout, bert_name=tiny_bert)
    example = aligner("v", FEATURES, clips_of((0.0, 1.0, words)), generator(1, 1, 0))
    kept = words[:4]
    assert example["caps"].tolist() == [2, 3, 2, *kept, *[0] * (4 - len(kept))]
    assert example["text_label"].tolist() == [-100, -100, *kept, 3, *[-100] * (4 - len(kept))]


def test_a_prompt_comes_with_the_caption_as_it_is(layout: VideoTextLayout, tiny_bert: str) -> None:
    aligner = CaptioningAligner(layout=layout, bert_name=tiny_bert, prompt_only=True)
    example = aligner("v", FEATURES, clips_of((0.0, 1.0, [5, 6])), generator(1, 1, 0))
    assert example["caps"].tolist() == [2, 3, 2]
    assert example["cmasks"].tolist() == [True] * 7
    assert example["text_label"].tolist() == [2, 3, 5, 6, 3, 0, 0]


def test_a_caption_goes_with_the_steps_that_it_covers(
    layout: VideoTextLayout, tiny_bert: str
) -> None:
    aligner = CaptioningAligner(layout=layout, bert_name=tiny_bert)
    clips = clips_of((1.5, 2.2, [5]), (4.0, 4.0, [6]), (8.5, 99.0, [7]), (12.0, 13.0, [8]))
    seen = {}
    for index in range(60):
        example = aligner("v", FEATURES, clips, generator(1, 1, index))
        steps = example["vfeats"][example["vmasks"]][:, 0].tolist()
        seen[example["caps"][3].item()] = steps
    # the last one starts behind the end of the video
    assert seen == {5: [1, 2], 6: [4], 7: [8, 9]}


def test_subsamples_are_drawn_each_on_its_own(layout: VideoTextLayout, tiny_bert: str) -> None:
    aligner = CaptioningAligner(layout=layout, bert_name=tiny_bert, subsampling=30)
    clips = clips_of((0.0, np.inf, [5]), (0.0, np.inf, [6]))
    example = aligner("v", FEATURES, clips, generator(1, 1, 0))
    assert example["text_label"].shape == (30, 7)
    assert set(example["text_label"][:, 2].tolist()) == {5, 6}


@pytest.mark.faults
def test_a_caption_behind_the_end_of_the_video_is_refused(
    layout: VideoTextLayout, tiny_bert: str
) -> None:
    aligner = CaptioningAligner(layout=layout, bert_name=tiny_bert)
    with pytest.raises(DataError, match="none of the 1 captions starts within the 10"):
        aligner("v", FEATURES, clips_of((10.0, 11.0, [5])), generator(1, 1, 0))
