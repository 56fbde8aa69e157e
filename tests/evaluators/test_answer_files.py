from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.answer_files import answer_predictions, read_asked

OPEN = [
    {"id": 4, "video_id": 1, "question": "what is it", "answer": "a dog", "answer_type": "what"},
    {"id": 7, "video_id": 2, "question": "who sits", "answer": "cat"},
]
NEXTQA_OPEN = "video,question,answer,qid,type\n11,why run,to win,1,CW\n12,what,dog,0,DO\n"
CHOICES = """\
video,question,answer,qid,type,a0,a1,a2,a3,a4
11,why is it,0,1,CW,a,b,c,d,e
12,what comes,4,2,TN,a,b,c,d,e
"""
TVQA = [
    {"qid": n, "q": "why", "vid_name": f"v{n}", "show_name": "House", "ts": "1-2", "answer_idx": n}
    | {f"a{k}": f"{k}" for k in range(5)}
    for n in range(2)
]


def write(path: Path, content: Any) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    return write(tmp_path / "val_qa.json", OPEN)


@pytest.mark.parametrize(
    ("name", "content", "ids"),
    [
        ("val_qa.json", OPEN, ["4", "7"]),
        ("val.jsonl", [{k: v for k, v in own.items() if k != "id"} for own in OPEN], ["0", "1"]),
        ("val.csv", NEXTQA_OPEN, ["11_1", "12_0"]),
        ("mc.csv", CHOICES, ["11_1", "12_2"]),
        ("tvqa_val.jsonl", TVQA, ["0", "1"]),
    ],
)
def test_public_forms_are_told_apart(
    name: str, content: Any, ids: list[str], tmp_path: Path
) -> None:
    questions = read_asked(write(tmp_path / name, content))
    assert [question.text_id for question in questions] == ids
    assert {len(question.answers) for question in questions} == {
        5 if content in (CHOICES, TVQA) else 1
    }


def test_questions_of_activitynet_are_found_by_either_file(tmp_path: Path) -> None:
    q = [{"question_id": "v1_1", "video_name": "v1", "question": "what"}]
    a = [{"question_id": "v1_1", "answer": "dog", "type": 5}]
    paths = [write(tmp_path / "val_q.json", q), write(tmp_path / "val_a.json", a)]
    assert read_asked(paths[0]) == read_asked(paths[1])
    assert read_asked(paths[0])[0].right == "dog"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("said.json", {"7": "cat", "4": " a  dog"}),
        ("said.json", {"val_qa:7": "cat", "val_qa:4": "a dog"}),  # as mmvt predict calls them
        (
            "said.json",
            [{"qid": 7, "prediction": "cat", "answer": "x"}, {"id": 4, "answer": "a dog"}],
        ),
        ("said.jsonl", [{"question_id": "7", "answer": "cat"}, {"qid": "4", "answer": "a dog"}]),
    ],
)
def test_answers_are_read_in_every_form(
    name: str, content: Any, asked: Path, tmp_path: Path
) -> None:
    arrays, repeated = answer_predictions(write(tmp_path / name, content), asked)
    assert arrays["scored_ids"].tolist() == ["7", "4"]
    assert arrays["said"].tolist() == ["cat", "a dog"]
    assert (arrays["ids"].tolist(), arrays["answers"].tolist()) == (["4", "7"], ["a dog", "cat"])
    assert arrays["groups"].tolist() == [["what"], ["who"]]
    assert (repeated, "known" in arrays) == (0, False)


def test_answers_may_be_by_video(tmp_path: Path) -> None:
    questions = write(tmp_path / "val.csv", NEXTQA_OPEN)
    said = write(tmp_path / "said.json", {"11": {"1": "to win"}, "12": {"0": "cat"}})
    arrays, _ = answer_predictions(said, questions)
    assert arrays["scored_ids"].tolist() == ["11_1", "12_0"]
    assert arrays["groups"].tolist() == [["C", "CW"], ["D", "DO"]]


def test_places_of_choices_are_read(tmp_path: Path) -> None:
    questions = write(tmp_path / "mc.csv", CHOICES)
    said = write(tmp_path / "said.json", {"11_1": {"prediction": 4, "answer": 0}, "12_2": 1})
    arrays, _ = answer_predictions(said, questions)
    assert (arrays["choices"].tolist(), arrays["answers"].tolist()) == ([4, 1], [0, 4])


def test_what_stands_there_again_is_left_out_and_counted(asked: Path, tmp_path: Path) -> None:
    rows = [{"qid": qid, "answer": text} for qid, text in ((4, "a"), (7, "b"), (4, "a"), (4, "a"))]
    arrays, repeated = answer_predictions(write(tmp_path / "said.json", rows), asked)
    assert (arrays["said"].tolist(), repeated) == (["a", "b"], 2)
    rows += [{"qid": 7, "answer": "c"}, {"qid": 4, "answer": "d"}]
    with pytest.raises(DataError, match="2 questions are answered more than once, .*: '7', '4'"):
        answer_predictions(write(tmp_path / "said.json", rows), asked)


def test_training_tells_what_needs_no_model(asked: Path, tmp_path: Path) -> None:
    train = [
        {"video_id": 9, "question": "who is it", "answer": answer} for answer in ("x", "x", "cat")
    ]
    said = write(tmp_path / "said.json", {"4": "", "7": ""})
    arrays, _ = answer_predictions(said, asked, write(tmp_path / "train_qa.json", train))
    assert (arrays["known"].tolist(), arrays["guesses"].tolist()) == ([0, 1], ["x", "x"])
    assert arrays["said"].tolist() == ["", ""]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"4": 3}, "the answer to '4' is no text: 3"),
        ({"4": {"prediction": None}}, "the answer to '4' is no text: None"),
        ([{"qid": 4, "answr": "a"}], "'4' has neither prediction nor answer; did you mean answr"),
        ([{"qid": 4}], "answer 0: the answer to '4' has neither prediction nor answer"),
        ([{"answer": "a"}], "answer 0: no 'id'"),
        ([{"qid": 1.5, "answer": "a"}], "qid 1.5 is no text"),
        ([3], "answer 0: is no mapping"),
        (3, "is neither a list nor a mapping of answers"),
    ],
)
def test_what_is_wrong_is_named(content: Any, problem: str, asked: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=problem):
        answer_predictions(write(tmp_path / "said.json", content), asked)


@pytest.mark.parametrize("place", [-1, 5, "a", True])
def test_a_place_that_is_none_is_named(place: Any, tmp_path: Path) -> None:
    questions = write(tmp_path / "mc.csv", CHOICES)
    said = write(tmp_path / "said.json", {"11_1": place})
    with pytest.raises(DataError, match="the answer to '11_1' is none of 0 to 4"):
        answer_predictions(said, questions)


def test_training_that_would_tell_nothing_is_refused(tmp_path: Path) -> None:
    questions = write(tmp_path / "mc.csv", CHOICES)
    said = write(tmp_path / "said.json", {"11_1": 4, "12_2": 1})
    with pytest.raises(ConfigError, match="mc.csv: questions for training are for answers in writ"):
        answer_predictions(said, questions, questions)
