from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.aligners.question import QuestionAligner, YesNoAligner
from mmvt.processors.base import TextClips
from mmvt.processors.labels import QuestionClips
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.text.tokenizer import load_tokenizer
from tests.asking import layout_of, words_in

FEATURES = np.arange(10, dtype=np.float32)[:, None]
RNG = np.random.default_rng(0)
SEP = 3


@pytest.fixture(scope="module")
def bert_name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return words_in(tmp_path_factory.mktemp("words"))


def clips_of(bert_name: str, **changes: Any) -> QuestionClips:
    tokenizer = load_tokenizer(bert_name)
    texts = ["red", "green", "red and blue"]
    clips = QuestionClips(
        start=np.zeros(3),
        end=np.full(3, np.inf),
        cap=[tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts],
        texts=texts,
        answer=1,
        question=tokenizer("what color ?", add_special_tokens=False)["input_ids"],
        groups=("DO",),
    )
    return replace(clips, **changes)


def question(bert_name: str, cue: str = "", **fields: Any) -> QuestionAligner:
    return QuestionAligner(layout=layout_of(bert_name, **fields), bert_name=bert_name, cue=cue)


def words(bert_name: str, ids: Any, mask: Any = None) -> str:
    chosen = [token for token in (ids if mask is None else ids[mask]).tolist() if token >= 0]
    return str(load_tokenizer(bert_name).decode(chosen))


def test_a_question_is_read_and_its_answer_written(bert_name: str) -> None:
    aligner = question(bert_name, cue="it is", prompt="yes")
    example = aligner("v", FEATURES[:2], clips_of(bert_name), RNG)
    assert words(bert_name, example["caps"], example["cmasks"]) == "yes what color? it is"
    assert words(bert_name, example["text_label"]) == "green [SEP]"
    assert example["vfeats"][:, 0].tolist() == [0, 1]


def test_the_wrong_answers_change_no_example(bert_name: str) -> None:
    aligner, clips = question(bert_name), clips_of(bert_name)
    others = replace(clips, cap=[clips.cap[2], clips.cap[1], clips.cap[0]])
    before, after = (aligner("v", FEATURES, own, RNG) for own in (clips, others))
    assert all(bool((before[key] == after[key]).all()) for key in before)


def test_each_option_has_a_row(bert_name: str) -> None:
    options = question(bert_name).options(FEATURES, clips_of(bert_name))
    assert options["vfeats"].shape == (2, 1)
    assert options["caps"].shape == options["cmasks"].shape == (3, 12)
    assert [words(bert_name, row) for row in options["text_label"]] == [
        "red [SEP]",
        "green [SEP]",
        "red and blue [SEP]",
    ]


@pytest.mark.parametrize(
    ("start", "end", "steps", "seen"),
    [
        (0, np.inf, 10, [2, 7]),  # the middles of two halves
        (0, np.inf, 2, [0, 1]),
        (0, np.inf, 1, [0]),
        (0, np.inf, 3, [0, 2]),
        (3.5, 4.5, 10, [3, 4]),
        (3.2, 3.4, 10, [3]),
        (4.0, 4.0, 10, [4]),
        (2, 8, 10, [3, 6]),
        (9, 99, 10, [9]),
    ],
)
def test_steps_are_the_middles_of_the_part_asked_about(
    start: float, end: float, steps: int, seen: list[int], bert_name: str
) -> None:
    clips = clips_of(bert_name, start=np.full(3, float(start)), end=np.full(3, float(end)))
    example = question(bert_name)("v", FEATURES[:steps], clips, RNG)
    assert example["vfeats"][example["vmasks"]][:, 0].tolist() == seen


def test_a_context_is_cut_before_a_question(bert_name: str) -> None:
    clips = clips_of(bert_name, context=[9, 8, 7])
    for length, context in ((3, []), (4, [9]), (6, [9, 8, 7]), (7, [9, 8, 7])):
        example = question(bert_name, max_prompt_len=length)("v", FEATURES, clips, RNG)
        assert example["caps"][example["cmasks"]].tolist() == context + clips.question


def test_what_is_too_long_is_refused_not_cut(bert_name: str) -> None:
    clips = clips_of(bert_name)
    with pytest.raises(DataError, match="is asked has 3 tokens, but max_prompt_len has room for 2"):
        question(bert_name, max_prompt_len=2)("v", FEATURES, clips, RNG)
    with pytest.raises(DataError, match="an answer has 3 tokens, but max_text_len has room for 2"):
        question(bert_name, max_text_len=3).options(FEATURES, clips)
    late = clips_of(bert_name, start=np.full(3, 10.0))
    with pytest.raises(DataError, match="is asked about from step 10 on, but has only 10"):
        question(bert_name)("v", FEATURES, late, RNG)


def test_half_of_the_candidates_are_right(bert_name: str) -> None:
    aligner = YesNoAligner(layout=layout_of(bert_name), bert_name=bert_name)
    rng, said = np.random.default_rng(1), set()
    counts = {"yes [SEP]": 0, "no [SEP]": 0}
    for _ in range(200):
        example = aligner("v", FEATURES, clips_of(bert_name), rng)
        label = words(bert_name, example["text_label"])
        counts[label] += 1
        said.add((words(bert_name, example["caps"], example["cmasks"]), label))
    asked = "what color? is it ' {} '?"
    assert said == {
        (asked.format("green"), "yes [SEP]"),
        (asked.format("red"), "no [SEP]"),
        (asked.format("red and blue"), "no [SEP]"),
    }
    assert 60 < counts["yes [SEP]"] < 140


def test_options_are_asked_for_one_by_one(bert_name: str) -> None:
    aligner = YesNoAligner(layout=layout_of(bert_name), bert_name=bert_name, ask="{answer} ?")
    options = aligner.options(FEATURES, clips_of(bert_name))
    asked = [words(bert_name, *row) for row in zip(options["caps"], options["cmasks"], strict=True)]
    assert asked == ["what color? red?", "what color? green?", "what color? red and blue?"]
    assert [words(bert_name, row) for row in options["text_label"]] == ["yes"] * 3
    assert [words(bert_name, row) for row in options["against"]] == ["no"] * 3


def test_yes_and_no_need_texts_and_a_choice(bert_name: str) -> None:
    layout = layout_of(bert_name)
    aligner = YesNoAligner(layout=layout, bert_name=bert_name)
    clips = clips_of(bert_name)
    with pytest.raises(ConfigError, match="knows no texts of answers"):
        aligner("v", FEATURES, replace(clips, texts=None), RNG)
    single = clips_of(bert_name, start=np.zeros(1), end=np.ones(1), cap=[[7]], answer=0)
    with pytest.raises(DataError, match="no wrong answer to say no to"):
        aligner("v", FEATURES, single, RNG)
    with pytest.raises(ConfigError, match="ask 'is it so' has no place for the {answer}"):
        YesNoAligner(layout=layout, bert_name=bert_name, ask="is it so")
    with pytest.raises(ConfigError, match="yes 'no' and no 'no is it' begin with the same token"):
        YesNoAligner(layout=layout, bert_name=bert_name, yes="no", no="no is it")


def test_other_layouts_and_labels_are_refused(bert_name: str, tmp_path: Path) -> None:
    other = VideoTextLayout(max_video_len=2, max_len=9, bert_name=bert_name)
    with pytest.raises(ConfigError, match="needs the layout PromptLayout, not VideoTextLayout"):
        QuestionAligner(layout=other, bert_name=bert_name)
    plain = TextClips(np.zeros(1), np.ones(1), [[7]])
    with pytest.raises(ConfigError, match="needs QuestionClips"):
        question(bert_name)("v", FEATURES, plain, RNG)


@pytest.mark.parametrize("cls", [QuestionAligner, YesNoAligner])
def test_example_clips_make_an_example(cls: type[QuestionAligner], bert_name: str) -> None:
    aligner = cls(layout=layout_of(bert_name, max_prompt_len=20), bert_name=bert_name)
    example = aligner("v", FEATURES, aligner.example_clips(), RNG)
    assert example["cmasks"].any()


def test_a_part_needs_steps_with_times(bert_name: str) -> None:
    assert clips_of(bert_name).scaled(0.0).end.tolist() == [np.inf] * 3
    assert clips_of(bert_name, end=np.ones(3)).scaled(2.0).end.tolist() == [2, 2, 2]
    with pytest.raises(DataError, match="parts with times need features with a steady number"):
        clips_of(bert_name, end=np.ones(3)).scaled(0.0)
