from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmvt.errors import DataError
from mmvt.processors.meta.nextqa import (
    TYPES,
    NExTQAMetaProcessor,
    Question,
    read_choices,
    read_questions,
)
from mmvt.processors.questions import AskedQuestion
from mmvt.processors.text.questions import NExTQATextProcessor
from tests.asking import words_in

HEADER = "video,frame_count,question,answer,qid,type,a0,a1,a2,a3,a4\n"


def test_questions_have_the_id_of_their_video_and_number(tmp_path: Path):
    path = tmp_path / "val.csv"
    path.write_text(f"{HEADER}40,369,why,0,6,CH,a,b,c,d,e\n40,369,when,4,7,TP,a,b,c,d,e\n")
    assert read_questions(path) == [Question("40_6", "CH", 0), Question("40_7", "TP", 4)]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("", "holds no question"),
        ("40,369,why,-1,6,CH,a,b,c,d,e\n", "val.csv:2: answer -1 is none of 0 to 4"),
        ("40,369,why,5,6,CH,a,b,c,d,e\n", "val.csv:2: answer 5 is none of 0 to 4"),
        ("40,369,why,x,6,CH,a,b,c,d,e\n", "val.csv:2: answer 'x' is no whole number"),
        ("40,369,why,0,6,C,a,b,c,d,e\n", "val.csv:2: type 'C' is none of CW, CH"),
        ("40,369,why,0,6,,a,b,c,d,e\n", "val.csv:2: type is empty"),
        ("40,369,why,0,6\n", "val.csv:2: 5 cells, but 11 columns"),
    ],
)
def test_wrong_rows_are_named(rows: str, problem: str, tmp_path: Path):
    path = tmp_path / "val.csv"
    path.write_text(HEADER + rows)
    with pytest.raises(DataError, match=problem):
        read_questions(path)


def test_the_public_validation_set_has_its_published_counts(shared: Path):
    path = shared / "data" / "annotations" / "NExT-QA__dataset_nextqa_val.csv"
    questions = read_questions(path)
    assert len(questions) == 4996
    assert len({question.text_id.split("_")[0] for question in questions}) == 570
    assert Counter(question.kind[0] for question in questions) == {"C": 2607, "T": 1612, "D": 777}
    assert {question.kind for question in questions} == set(TYPES)


def test_choices_are_the_questions_with_their_answers(tmp_path: Path):
    path = tmp_path / "val.csv"
    path.write_text(f"{HEADER}40,369,what color,1,6,CH,red,a box,blue,red,yes\n")
    assert read_choices(path) == [
        AskedQuestion(
            "40", "40_6", "what color", ["red", "a box", "blue", "red", "yes"], 1, ("C", "CH")
        )
    ]
    assert list(NExTQAMetaProcessor(split="valid", val_path=path)) == [("40", "40_6")]
    clips = NExTQATextProcessor(bert_name=words_in(tmp_path), val_path=path)("40_6")
    assert (clips.answer, clips.groups, len(clips)) == (1, ("C", "CH"), 5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEADER, "holds no question"),
        (f"{HEADER}40,369,why,0,6,CH,a,b,,d,e\n", "val.csv:2: a2 is empty"),
        (f"{HEADER}40,369,,0,6,CH,a,b,c,d,e\n", "val.csv:2: question is empty"),
        (f"{HEADER}40,369,why,5,6,CH,a,b,c,d,e\n", "val.csv:2: answer 5 is none of 0 to 4"),
        (HEADER + 2 * "40,369,why,0,6,CH,a,b,c,d,e\n", "3: the same question '40_6' as"),
        ("video,question,answer,qid,type,a0,a1,a2,a3\n", "val.csv:1: no column 'a4'"),
    ],
)
def test_wrong_choices_are_named(text: str, problem: str, tmp_path: Path):
    path = tmp_path / "val.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=problem):
        read_choices(path)


def test_the_choices_of_the_public_validation_set_are_those_of_the_questions(shared: Path):
    path = shared / "data" / "annotations" / "NExT-QA__dataset_nextqa_val.csv"
    questions, choices = read_questions(path), read_choices(path)
    assert [(q.text_id, q.answer, q.kind) for q in questions] == [
        (q.text_id, q.answer, q.groups[1]) for q in choices
    ]
    assert len({choice.video_id for choice in choices}) == 570
