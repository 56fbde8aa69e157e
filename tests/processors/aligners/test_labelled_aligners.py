"""Tests of the aligners whose examples come with labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.multimodal import collate
from mmvt.errors import ConfigError, DataError
from mmvt.processors.aligners.choice import MultipleChoiceAligner
from mmvt.processors.aligners.localization import StepLocalizationAligner
from mmvt.processors.aligners.moment import MomentAligner
from mmvt.processors.aligners.segmentation import SegmentationAligner
from mmvt.processors.base import Aligner, TextClips
from mmvt.processors.labels import ChoiceClips, MomentClips, SpanClips, Spans, StepClips
from mmvt.processors.layout import VideoTextLayout
from mmvt.seeding import generator

SIZES = {"max_video_len": 4, "sliding_window": 2, "sliding_window_size": 4}


@pytest.fixture(scope="module")
def layout(tiny_bert: str) -> VideoTextLayout:
    return VideoTextLayout(max_video_len=4, max_len=10, bert_name=tiny_bert)


def whole(*texts: list[int]) -> dict[str, Any]:
    count = len(texts)
    return {"start": np.zeros(count), "end": np.full(count, np.inf), "cap": list(texts)}


def spans_of(*spans: tuple[int, float, float]) -> Spans:
    array = np.array(spans, dtype=float).reshape(-1, 3)
    return Spans(array[:, 0].astype(int), array[:, 1], array[:, 2])


def example_of(aligner: Aligner, clips: TextClips, steps: int = 6) -> dict[str, Any]:
    features = np.arange(steps, dtype=np.float16)[:, None] + 1
    return dict(aligner("v", features, clips, generator(1, 1, 0)))


def test_a_later_part_overwrites_and_padding_has_no_class(
    layout: VideoTextLayout, tiny_bert: str
) -> None:
    aligner = SegmentationAligner(layout=layout, bert_name=tiny_bert, **SIZES)
    spans = spans_of((7, 1.5, 3.2), (9, 2.0, 2.5), (8, 4.9, 40.0))
    example = example_of(aligner, SpanClips(**whole(), spans=spans), steps=7)
    assert example["video_targets"].tolist() == [0, 7, 9, 7, 8, 8, 8]
    assert example["targets"].tolist() == [[0, 7, 9, 7], [9, 7, 8, 8], [8, 8, 8, -100]]
    assert example["targets"].dtype == torch.long
    assert set(aligner.produces) < set(example)
    none = example_of(aligner, SpanClips(**whole(), spans=spans_of()), steps=1)
    assert none["targets"].tolist() == [[0, -100, -100, -100]]


def test_every_step_of_a_task_has_a_text_and_a_column(
    layout: VideoTextLayout, tiny_bert: str
) -> None:
    aligner = StepLocalizationAligner(layout=layout, bert_name=tiny_bert, **SIZES)
    spans = spans_of((0, 0.0, 1.0), (1, 0.5, 2.5), (0, 4.0, 4.0), (1, 4.2, 4.4))
    clips = StepClips(**whole([5, 6], [7]), spans=spans, task="23521")
    example = example_of(aligner, clips)
    assert example["caps"].tolist() == [[2, 3, 5, 6, 3, 0], [2, 3, 7, 3, 0, 0]]
    assert example["cmasks"].sum(1).tolist() == [5, 4]
    assert example["window_caps"].tolist() == [[2, 3, 0, 3]] * 2
    assert example["window_cmasks"].tolist() == [[False, True, False, True]] * 2
    first, second = [[1, 1], [0, 1], [0, 1], [0, 0]], [[0, 1], [0, 0], [0, 1], [0, 0]]
    assert example["targets"].tolist() == first + second
    assert (example["task"], example["video_len"], example["num_windows"]) == ("23521", 6, 2)
    assert set(aligner.produces) < set(example)


def test_a_choice_has_all_answers_and_one_video(layout: VideoTextLayout) -> None:
    aligner = MultipleChoiceAligner(layout=layout)
    example = example_of(aligner, ChoiceClips(**whole([5], [6, 7], []), answer=2))
    assert example["caps"].tolist() == [
        [2, 3, 5, 3, 0, 0],
        [2, 3, 6, 7, 3, 0],
        [2, 3, 3, 0, 0, 0],
    ]
    assert example["vfeats"].tolist() == [[1], [2], [3], [4]]
    assert example["answer"] == 2
    batch = collate([{**example, "video_id": "v"}, {**example, "video_id": "w"}])
    assert batch["caps"].shape == (2, 3, 6)
    assert batch["answer"] == [2, 2]


@pytest.mark.faults
@pytest.mark.parametrize("answer", [-1, 3])
def test_an_answer_that_is_not_there_is_refused(layout: VideoTextLayout, answer: int) -> None:
    clips = ChoiceClips(**whole([5], [6], [7]), answer=answer)
    with pytest.raises(DataError, match=f"the answer is number {answer} of 3, from 0"):
        example_of(MultipleChoiceAligner(layout=layout), clips)


def test_a_moment_is_the_whole_video_and_what_people_say(layout: VideoTextLayout) -> None:
    clips = MomentClips(**whole([5]), moments=np.array([[0, 1], [5, 5]]), chunk=5.0)
    example = example_of(MomentAligner(layout=layout), clips.scaled(2.0))
    assert example["moments"] == [[0, 1], [5, 5]]
    assert example["chunk"] == 10.0
    assert example["caps"].tolist() == [2, 3, 5, 3, 0, 0]


def test_windows_of_several_videos_are_joined(layout: VideoTextLayout, tiny_bert: str) -> None:
    aligner = SegmentationAligner(layout=layout, bert_name=tiny_bert, **SIZES)
    clips = SpanClips(**whole(), spans=spans_of((1, 0, 9)))
    examples = [example_of(aligner, clips, steps) for steps in (3, 7)]
    batch = collate(examples)
    assert batch["num_windows"] == [1, 3]
    assert batch["video_len"] == [3, 7]
    assert {key: tuple(batch[key].shape) for key in ("vfeats", "caps", "targets")} == {
        "vfeats": (4, 4, 1),
        "caps": (4, 4),
        "targets": (4, 4),
    }
    assert batch["targets"][0].tolist() == [1, 1, 1, -100]
    assert batch["video_targets"].tolist() == [1] * 10


@pytest.mark.faults
def test_texts_of_several_videos_cannot_share_a_batch(
    layout: VideoTextLayout, tiny_bert: str
) -> None:
    aligner = StepLocalizationAligner(layout=layout, bert_name=tiny_bert, **SIZES)
    clips = StepClips(**whole([5], [6]), spans=spans_of((1, 0, 1)), task="t")
    example = example_of(aligner, clips)
    assert collate([example])["caps"].shape == (2, 6)
    with pytest.raises(
        DataError, match="a batch of 2 videos, .* set fairseq.dataset.batch_size to 1"
    ):
        collate([example, example])


@pytest.mark.faults
def test_captions_without_the_labels_are_refused(layout: VideoTextLayout, tiny_bert: str) -> None:
    windowed = {"layout": layout, "bert_name": tiny_bert, **SIZES}
    for aligner, kind in (
        (MultipleChoiceAligner(layout=layout), "ChoiceClips"),
        (MomentAligner(layout=layout), "MomentClips"),
        (SegmentationAligner(**windowed), "SpanClips"),
        (StepLocalizationAligner(**windowed), "StepClips"),
    ):
        with pytest.raises(ConfigError, match=f"needs {kind}, but the text processor gives Text"):
            example_of(aligner, TextClips(**whole([5])))
