from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.meta.activitynet_qa import (
    TYPES,
    ActivityNetQAMetaProcessor,
    read_questions,
)
from mmvt.processors.questions import AskedQuestion
from mmvt.processors.text.questions import ActivityNetQATextProcessor
from tests.asking import words_in

Row = dict[str, object]
ASKED: list[Row] = [
    {"video_name": "abc", "question": "what color", "question_id": "v_abc_1"},
    {"video_name": "abc", "question": "is it red", "question_id": "v_abc_2"},
]
ANSWERED: list[Row] = [
    {"answer": "no", "type": 3, "question_id": "v_abc_2"},
    {"answer": "blue", "type": 4, "question_id": "v_abc_1"},
]


def write(folder: Path, asked: list[Row], answered: list[Row], split: str = "val") -> Path:
    (folder / f"{split}_a.json").write_text(json.dumps(answered))
    (folder / f"{split}_q.json").write_text(json.dumps(asked))
    return folder / f"{split}_q.json"


def test_questions_and_answers_are_joined_by_id(tmp_path: Path) -> None:
    path = write(tmp_path, ASKED, ANSWERED)
    assert read_questions(path) == [
        AskedQuestion("abc", "v_abc_1", "what color", ["blue"], 0, ("color",)),
        AskedQuestion("abc", "v_abc_2", "is it red", ["no"], 0, ("yes/no",)),
    ]
    examples = list(ActivityNetQAMetaProcessor(split="valid", val_path=path, prefix="v_"))
    assert examples == [("v_abc", "v_abc_1"), ("v_abc", "v_abc_2")]
    clips = ActivityNetQATextProcessor(bert_name=words_in(tmp_path), val_path=path)("v_abc_1")
    assert (clips.texts, clips.groups, clips.known, clips.guess) == (
        ["blue"],
        ("color",),
        None,
        None,
    )


@pytest.mark.parametrize(
    ("asked", "answered", "problem"),
    [
        ([], [], "val_q.json: holds no question"),
        (ASKED, ANSWERED[:1], "val_a.json: nothing of 1 question ids: v_abc_1"),
        (ASKED[:1], ANSWERED, "val_q.json: nothing of 1 question ids: v_abc_2"),
        (ASKED, [*ANSWERED, ANSWERED[0]], "answer 2: the same question_id 'v_abc_2' as"),
        (ASKED[:1], [{**ANSWERED[1], "type": 9}], "answer 0: type 9 is none of 0 to 8"),
        (ASKED[:1], [{**ANSWERED[1], "answer": " "}], "answer 0: answer is empty"),
        ([{**ASKED[0], "question": 3}], ANSWERED[1:], "question 0: question is no text"),
        ([{"question_id": "v_abc_1", "question": "x"}], ANSWERED[1:], "0: no 'video_name'"),
    ],
)
def test_what_is_wrong_is_named(
    asked: list[Row], answered: list[Row], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=problem):
        read_questions(write(tmp_path, asked, answered))


def test_other_names_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is called …_q.json"):
        read_questions(tmp_path / "val.json")
    write(tmp_path, ASKED, ANSWERED)
    (tmp_path / "val_a.json").unlink()
    with pytest.raises(DataError, match="val_a.json: cannot be read"):
        read_questions(tmp_path / "val_q.json")


def test_a_video_is_not_both_for_training_and_for_evaluation(tmp_path: Path) -> None:
    path = write(tmp_path, ASKED, ANSWERED)
    train = write(tmp_path, ASKED, ANSWERED, "train")
    with pytest.raises(DataError, match="1 videos are in both"):
        ActivityNetQAMetaProcessor(split="valid", train_path=train, val_path=path)


def test_the_public_validation_set_has_its_published_counts(shared: Path) -> None:
    path = shared / "data" / "annotations" / "activitynet-qa__dataset_val_q.json"
    questions = read_questions(path)
    assert (len(questions), len({asked.video_id for asked in questions})) == (18000, 1800)
    counts = Counter(asked.groups[0] for asked in questions)
    assert [counts[name] for name in TYPES] == [
        *(1800, 1800, 1800),
        *(4041, 1565, 961, 473, 1479, 4081),
    ]
    assert {q.right for q in questions if q.groups == ("yes/no",)} == {"yes", "no"}
