from __future__ import annotations

import numpy as np
import pytest
import torch

from mmvt.errors import ConfigError
from mmvt.processors.prompts import PromptLayout

FEATURES = np.ones((1, 4), np.float16)
SEP, PAD = 3, 0


def layout_of(tiny_bert: str, **fields: object) -> PromptLayout:
    options = {"max_video_len": 2, "max_text_len": 5, "max_prompt_len": 4} | fields
    return PromptLayout(bert_name=tiny_bert, **options)  # type: ignore[arg-type]  # some are wrong


@pytest.mark.parametrize(
    ("words", "prompt", "label"),
    [
        ([], [], [SEP]),
        ([7], [], [7, SEP]),
        ([7, 8, 9, 10], [], [7, 8, 9, 10, SEP]),
        ([7, 8, 9, 10, 11], [], [7, 8, 9, 10, 11]),
    ],
)
def test_a_caption_is_written_whole(
    tiny_bert: str, words: list[int], prompt: list[int], label: list[int]
) -> None:
    example = layout_of(tiny_bert)(FEATURES, words)
    assert example["text_label"].tolist() == label + [-100] * (5 - len(label))
    assert example["caps"].tolist() == [PAD] * 4
    assert not example["cmasks"].any()
    assert example["vmasks"].tolist() == [True, False]
    assert example["vfeats"].shape == (2, 4)


def test_prompts_and_texts_that_are_cut_are_counted(
    tiny_bert: str, caplog: pytest.LogCaptureFixture
) -> None:
    layout = layout_of(tiny_bert)
    layout.prompted(FEATURES, [7] * 4, [8] * 4)
    assert not caplog.records
    for _ in range(10):
        layout.prompted(FEATURES, [7] * 6, [8] * 5)
    told = [record.message for record in caplog.records]
    assert told == [
        "cut to max_prompt_len of 4 tokens; 1 clips so far, here from 6",
        "cut to max_text_len of 5 tokens; 1 clips so far, here from 6",
        "cut to max_prompt_len of 4 tokens; 10 clips so far, here from 6",
        "cut to max_text_len of 5 tokens; 10 clips so far, here from 6",
    ]


@pytest.mark.parametrize(
    ("words", "prompt", "label"),
    [
        ([7], [7], [SEP]),
        ([7, 8], [7], [8, SEP]),
        ([7, 8, 9], [7, 8], [9, SEP]),
        ([7, 8, 9, 10], [7, 8], [9, 10, SEP]),
    ],
)
def test_the_second_half_is_written_behind_the_first(
    tiny_bert: str, words: list[int], prompt: list[int], label: list[int]
) -> None:
    example = layout_of(tiny_bert, objective="prefix")(FEATURES, words)
    assert example["caps"][example["cmasks"]].tolist() == prompt
    assert example["text_label"].tolist() == label + [-100] * (5 - len(label))


def test_what_is_written_is_nowhere_in_what_is_read(tiny_bert: str) -> None:
    layout = layout_of(tiny_bert, objective="prefix")
    one, other = layout(FEATURES, [7, 8, 9, 10]), layout(FEATURES, [7, 8, 11, 12])
    for key in ("caps", "cmasks", "vfeats", "vmasks"):
        assert torch.equal(one[key], other[key])
    assert not torch.equal(one["text_label"], other["text_label"])


def test_a_question_stands_behind_the_common_prompt(tiny_bert: str) -> None:
    layout = layout_of(tiny_bert, prompt="the", max_prompt_len=3)
    alone = layout(FEATURES, [9])
    asked = layout.prompted(FEATURES, [7, 8], [9])
    assert alone["cmasks"].tolist() == [True, False, False]
    assert asked["caps"].tolist() == [int(alone["caps"][0]), 7, 8]
    assert asked["text_label"].tolist() == [9, SEP, -100, -100, -100]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_video_len": 0}, "max_video_len is 0, but must be at least 1"),
        ({"max_text_len": 0}, "max_text_len is 0, but must be at least 1"),
        ({"prompt": "a b c d e f g"}, "tokens, but max_prompt_len is 4"),
    ],
)
def test_impossible_lengths_are_refused(
    tiny_bert: str, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        layout_of(tiny_bert, **fields)
