from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.errors import ConfigError, DataError
from mmvt.processors.aligners.captioning import CaptioningAligner
from mmvt.processors.aligners.dense import DenseCaptionAligner
from mmvt.processors.aligners.question import QuestionAligner, YesNoAligner
from mmvt.processors.base import Aligner, TextClips
from mmvt.processors.expert_words import ExpertWords, TextExpert, text_experts
from mmvt.processors.labels import QuestionClips
from mmvt.processors.layout import CaptionLayout
from mmvt.processors.prompts import PromptLayout
from mmvt.processors.transcript import Word

# the words of the tokenizer and their ids
A, DOG, RUNS, ON, SAND, THE, CAT, SITS = range(5, 13)
FEATURES = np.ones((8, 4), np.float16)


def layout_of(tiny_bert: str, **fields: Any) -> PromptLayout:
    lengths = {"max_video_len": 8, "max_text_len": 8, "max_prompt_len": 4}
    return PromptLayout(bert_name=tiny_bert, **(lengths | fields))


def said(words: list[str], fps: float = 1.0, seconds: float = 1.0, **fields: Any) -> ExpertWords:
    """Return words that are said one after another from 0 on, each for so many seconds."""
    timed = [Word(w, n * seconds, (n + 1) * seconds) for n, w in enumerate(words)]
    expert = TextExpert(**{"name": "speech", "path": Path("x"), "label": "the", **fields})

    def at(steps: slice) -> tuple[float, float]:
        return (steps.start / fps, steps.stop / fps) if fps else (0.0, np.inf)

    return ExpertWords(expert, timed, at)


def clips_of(*experts: ExpertWords, start: float = 0.0, end: float = 8.0) -> TextClips:
    caption = [RUNS, ON, SAND, SITS]
    return TextClips(np.array([start]), np.array([end]), [caption], texts=["runs"], experts=experts)


def numbers(text: str) -> list[int]:
    """Return the tokens of a text whose words are numbers."""
    return [int(word) for word in text.split()]


def shown(layout: PromptLayout, clips: TextClips, steps: slice) -> list[int]:
    example = layout.of_clip(clips, steps)(FEATURES[steps], clips.cap[0])
    return example["caps"][example["cmasks"]].tolist()


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ("ocr.jsonl", "text_experts.ocr must hold path"),
        ({}, "text_experts.ocr.path must be"),
        ({"path": "x", "lable": "a"}, "ocr.lable is no field of a text expert; did you mean label"),
        ({"path": "x", "name": "a"}, "ocr.name is no field"),
        ({"path": "x", "label": 3}, "ocr.label must be text, not 3"),
        ({"path": "x", "max_tokens": 0}, "max_tokens must be a whole number of at least 1, not 0"),
        ({"path": "x", "max_tokens": True}, "max_tokens must be a whole number"),
        ({"path": "x", "rule": "last"}, "rule must be first or middle or refuse, not 'last'"),
    ],
)
def test_experts_that_are_described_wrong_are_refused(described: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        text_experts({"ocr": described})


def test_a_label_is_the_name_unless_set() -> None:
    found = text_experts({"ocr": {"path": "x"}, "tags": {"path": "y", "label": ""}})
    assert [(expert.name, expert.label) for expert in found] == [("ocr", "ocr:"), ("tags", "")]


@pytest.mark.parametrize(
    ("steps", "fps", "expected"),
    [
        (slice(0, 8), 1.0, [THE, A, DOG, RUNS, ON]),
        (slice(1, 3), 1.0, [THE, DOG, RUNS]),
        (slice(2, 6), 2.0, [THE, DOG, RUNS]),
        (slice(3, 5), 2.0, [THE, DOG, RUNS]),
        (slice(5, 6), 1.0, []),
        (slice(5, 6), 0.0, [THE, A, DOG, RUNS, ON]),
    ],
)
def test_words_within_the_time_of_the_clip_stand_behind_their_label(
    tiny_bert: str, steps: slice, fps: float, expected: list[int]
) -> None:
    clips = clips_of(said(["a", "dog", "runs", "on"], fps))
    layout = layout_of(tiny_bert, prompt="cat", objective="caption")
    assert shown(layout, clips, steps) == [*expected, CAT]


def test_words_without_times_are_in_every_clip_and_lines_without_length_in_theirs() -> None:
    words = [Word("1", 0.0, np.inf), Word("2", 2.0, 2.0)]
    own = said([], label="0")._replace(words=words)
    for steps, expected in ((slice(0, 2), [0, 1]), (slice(2, 3), [0, 1, 2]), (slice(3, 9), [0, 1])):
        assert own.fitted(steps, numbers).tokens == expected


@pytest.mark.parametrize(
    ("rule", "room", "expected"),
    [
        ("first", 3, [THE, A, DOG]),
        ("first", 5, [THE, A, DOG, RUNS, ON]),
        ("first", 6, [THE, A, DOG, RUNS, ON, SAND]),
        ("first", 7, [THE, A, DOG, RUNS, ON, SAND]),
        ("middle", 2, [THE, RUNS]),
        ("middle", 3, [THE, DOG, RUNS]),
        ("middle", 4, [THE, DOG, RUNS, ON]),
        ("first", 1, []),
    ],
)
def test_words_that_do_not_fit_are_reduced_by_the_rule(
    tiny_bert: str, rule: str, room: int, expected: list[int]
) -> None:
    clips = clips_of(said(["a", "dog", "runs", "on", "sand"], rule=rule, max_tokens=room))
    assert shown(layout_of(tiny_bert), clips, slice(0, 5)) == expected


def test_clips_with_too_many_words_are_counted(
    tiny_bert: str, caplog: pytest.LogCaptureFixture
) -> None:
    layout = layout_of(tiny_bert)
    clips = clips_of(said(["a"] * 5, max_tokens=3))
    with caplog.at_level(logging.WARNING):
        for _ in range(12):
            shown(layout, clips, slice(0, 5))
    counts = [record.message for record in caplog.records]
    assert len(counts) == 2
    assert "speech has more words than fit into 3 tokens (rule: first); 1 clips so far" in counts[0]
    assert "10 clips so far, here 2 of 5 are left" in counts[1]


def test_words_that_do_not_fit_are_refused_where_the_rule_says_so(tiny_bert: str) -> None:
    clips = clips_of(said(["a"] * 5, rule="refuse", max_tokens=5))
    assert shown(layout_of(tiny_bert), clips, slice(0, 4)) == [THE, A, A, A, A]
    with pytest.raises(DataError, match="says 5 words, which are 6 tokens with 'the', but max_tok"):
        shown(layout_of(tiny_bert), clips, slice(0, 5))
    clips = clips_of(said(["a"], label="the cat sits", max_tokens=2))
    with pytest.raises(DataError, match="says 1 words, which are 4 tokens with 'the cat sits'"):
        shown(layout_of(tiny_bert), clips, slice(0, 5))


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 12),
    room=st.integers(1, 14),
    rule=st.sampled_from(["first", "middle"]),
    steps=st.tuples(st.integers(0, 12), st.integers(1, 6)),
)
def test_no_prompt_is_longer_than_its_room_and_no_word_out_of_order(
    count: int, room: int, rule: str, steps: tuple[int, int]
) -> None:
    own = said([f"{n}" for n in range(count)], label="99", rule=rule, max_tokens=room)
    clip = slice(steps[0], sum(steps))
    found = own.fitted(clip, numbers)
    within = list(range(count))[clip]
    assert len(found.tokens) <= room
    assert (found.words, found.kept) == (len(within), min(len(within), room - 1))
    label, at = found.tokens[:1], found.tokens[1:]
    assert label == ([99] if found.kept else [])
    assert at == list(range(at[0], at[0] + found.kept)) if at else not found.kept


def test_every_expert_has_its_room_beside_that_of_the_prompt(tiny_bert: str) -> None:
    layout = layout_of(tiny_bert, prompt="cat", objective="prefix")
    ocr = said(["sand"], label="", max_tokens=5)
    clips = clips_of(said(["a", "dog"], max_tokens=3), ocr)
    example = layout.of_clip(clips, slice(0, 8))(FEATURES, clips.cap[0])
    assert example["caps"].shape == example["cmasks"].shape == (3 + 5 + 4,)
    assert example["caps"][example["cmasks"]].tolist() == [THE, A, DOG, SAND, CAT, RUNS, ON]
    assert example["text_label"].tolist()[:3] == [SAND, SITS, 3]
    # none of this stays in the layout itself
    assert layout(FEATURES, clips.cap[0])["caps"].shape == (4,)


@pytest.mark.parametrize("objective", ["caption", "prefix"])
def test_what_is_written_is_nowhere_in_what_is_read_with_text_experts(
    tiny_bert: str, objective: str
) -> None:
    layout = layout_of(tiny_bert, objective=objective, prompt="cat")
    own = said(["a", "dog"], max_tokens=3)
    one = clips_of(own)
    keys = ("caps", "cmasks", "vfeats", "vmasks")
    for place in range(4):
        if objective == "prefix" and place < 2:
            continue
        words = list(one.cap[0])
        words[place] = CAT
        other = replace(one, cap=[words])
        first, second = (
            layout.of_clip(clips, slice(0, 8))(FEATURES, clips.cap[0]) for clips in (one, other)
        )
        assert all(torch.equal(first[key], second[key]) for key in keys)
        assert not torch.equal(first["text_label"], second["text_label"])


def test_experts_that_say_what_is_to_be_written_are_told(
    tiny_bert: str, caplog: pytest.LogCaptureFixture
) -> None:
    layout, words = layout_of(tiny_bert), [A, DOG, RUNS, ON, SAND]
    clips = replace(clips_of(said(["the", "a", "dog", "runs", "on", "sand"])), cap=[words])
    with caplog.at_level(logging.WARNING):
        shown(layout, replace(clips, cap=[words[:4]]), slice(0, 8))
        assert not caplog.records
        for _ in range(9):
            shown(layout, clips, slice(0, 8))
    assert "text experts say what is to be written; 1 clips so far" in caplog.text
    with pytest.raises(DataError, match="5 tokens or more in a row, in 10 of 10 clips; leave out"):
        shown(layout, clips, slice(0, 8))


def test_a_few_captions_that_are_said_are_no_problem(tiny_bert: str) -> None:
    layout, words = layout_of(tiny_bert), [A, DOG, RUNS, ON, SAND]
    clips = replace(clips_of(said(["a", "dog", "runs", "on", "sand"])), cap=[words])
    others = replace(clips, cap=[[CAT] * 5])
    for _ in range(12):
        shown(layout, others, slice(0, 8))
        shown(layout, clips, slice(0, 8))
    # an answer may well be what somebody says
    for _ in range(12):
        layout_of(tiny_bert).of_clip(clips, slice(0, 8)).prompted(FEATURES, [], words)


def aligners(tiny_bert: str) -> list[Aligner]:
    layout = layout_of(tiny_bert, max_prompt_len=6)
    parts = {"layout": layout, "bert_name": tiny_bert}
    return [
        CaptioningAligner(**parts),
        DenseCaptionAligner(**parts),
        QuestionAligner(**parts),
        YesNoAligner(**parts, ask="{answer}", yes="runs", no="sits"),
    ]


def test_every_aligner_of_prompts_shows_what_is_said_in_its_part(tiny_bert: str) -> None:
    questions = QuestionClips(
        np.array([2.0, 2.0]),
        np.array([4.0, 4.0]),
        [[RUNS], [SITS]],
        texts=["runs", "sits"],
        answer=0,
        question=[CAT],
        groups=("kind",),
        experts=(said(["a", "dog", "on", "sand"]),),
    )
    found = []
    for aligner in aligners(tiny_bert):
        example = aligner("v", FEATURES, questions, np.random.default_rng(0))
        found.append(example["caps"][example["cmasks"]].tolist())
    part = [THE, ON, SAND]
    assert found[0] == part
    assert found[1] == [THE, A, DOG, ON, SAND]
    assert found[2] == [*part, CAT]
    assert found[3][:4] == [*part, CAT]


def test_a_layout_without_a_prompt_is_refused(tiny_bert: str) -> None:
    layout = CaptionLayout(max_video_len=8, max_len=16, bert_name=tiny_bert)
    aligner = CaptioningAligner(layout=layout, bert_name=tiny_bert)
    with pytest.raises(ConfigError, match="need the layout PromptLayout, not CaptionLayout"):
        aligner("v", FEATURES, clips_of(said(["a"])), np.random.default_rng(0))
