from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.meta.open_questions import OpenQuestionMetaProcessor, read_questions
from mmvt.processors.questions import AskedQuestion
from mmvt.processors.text.questions import OpenQuestionTextProcessor
from tests.asking import words_in

MSRVTT = [
    {"answer": "couch", "category_id": 14, "id": 0, "question": "What is red?", "video_id": 6513},
    {"answer": "man", "category_id": 14, "id": 7, "question": "who sits", "video_id": 6514},
]


def test_numbers_of_videos_get_a_prefix(tmp_path: Path) -> None:
    path = tmp_path / "val_qa.json"
    path.write_text(json.dumps(MSRVTT))
    assert read_questions(path)[0] == AskedQuestion(
        "6513", "val_qa:0", "What is red?", ["couch"], 0, ("what",)
    )
    meta = OpenQuestionMetaProcessor(split="test", val_path=path, prefix="video")
    assert list(meta) == [("video6513", "val_qa:0"), ("video6514", "val_qa:7")]


def test_lines_without_ids_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "qa.jsonl"
    path.write_text(
        '{"question": "how many", "answer": "two", "video_id": "v1", "answer_type": "how"}\n'
        '{"question": "how", "answer": "so", "video_id": "v2"}\n'
    )
    ids = [(asked.video_id, asked.text_id) for asked in read_questions(path)]
    assert ids == [("v1", "qa:0"), ("v2", "qa:1")]


def test_kinds_are_those_of_the_file_or_first_words(tmp_path: Path) -> None:
    path = tmp_path / "qa.jsonl"
    path.write_text(
        '{"question": "In what", "answer": "box", "video_id": "video7", "answer_type": "what"}\n'
        '{"question": "In what", "answer": "box", "video_id": "video7"}\n'
    )
    assert [asked.groups for asked in read_questions(path)] == [("what",), ("in",)]
    # an id that is no number is a name already
    meta = OpenQuestionMetaProcessor(split="test", val_path=path, prefix="video")
    assert [video for video, _ in meta] == ["video7", "video7"]


def test_ids_are_looked_up_in_a_list_of_names(tmp_path: Path) -> None:
    path, names = tmp_path / "test_qa.json", tmp_path / "youtube_mapping.txt"
    rows = [{"id": n, "video_id": n, "question": "who", "answer": "a"} for n in (2, 1)]
    path.write_text(json.dumps(rows))
    names.write_text("-4wsuPCjDBc_5_15 vid1\n-7KMZQEsJW4_205_208 vid2\nx_1_2 vid3\n")
    meta = OpenQuestionMetaProcessor(split="test", val_path=path, prefix="vid", names=names)
    assert list(meta) == [("-7KMZQEsJW4_205_208", "test_qa:2"), ("-4wsuPCjDBc_5_15", "test_qa:1")]
    with pytest.raises(DataError, match="no name of 2 videos of .*test_qa.json: 2, 1"):
        OpenQuestionMetaProcessor(split="test", val_path=path, names=names)
    names.write_text("a vid1\nb vid1\nalone\n../c vid4\n")
    problems = "3: 'alone' is not a name and an id.*4: the id '../c' leads.*2: the same id 'vid1'"
    with pytest.raises(DataError, match=f"(?s){problems}"):
        OpenQuestionMetaProcessor(split="test", val_path=path, prefix="vid", names=names)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "qa.json: holds no question"),
        ("{}", "qa.json: is no list"),
        ("[3]", "question 0: is no mapping"),
        ('[{"video_id": 1, "question": "who", "answer": ""}]', "question 0: answer is empty"),
        ('[{"video_id": 1, "question": "who"}]', "question 0: no 'answer'"),
        ('[{"video_id": 1.5, "question": "who", "answer": "a"}]', "video_id is no text"),
        ('[{"question": "who", "answer": "a"}]', "question 0: no 'video_id'"),
        (
            json.dumps(2 * [{"id": 1, "video_id": 1, "question": "who", "answer": "a"}]),
            "question 1: the same id 'qa:1' as .*question 0",
        ),
    ],
)
def test_what_is_wrong_is_named(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "qa.json"
    path.write_text(content)
    with pytest.raises(DataError, match=problem):
        read_questions(path)


def test_answers_are_compared_with_those_of_training(tmp_path: Path) -> None:
    train, test = tmp_path / "train.json", tmp_path / "test.json"
    rows = [(1, "what is it", "box"), (1, "what else", "box"), (2, "who", "red")]
    keys = ("video_id", "question", "answer")
    train.write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    asked = [(3, "what color ?", "red"), (3, "who is it", "no")]
    test.write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in asked]))
    words = words_in(tmp_path)
    texts = OpenQuestionTextProcessor(bert_name=words, train_path=train, test_path=test)
    first, second = texts("test:0"), texts("test:1")
    assert (first.known, first.guess, first.texts) == (True, "box", ["red"])
    assert (second.known, second.guess) == (False, "red")
    assert texts.tokenizer.decode(first.question) == "what color?"
    assert texts.tokenizer.decode(first.cap[first.answer]) == "red"
    with pytest.raises(DataError, match="there is no text id 'x'"):
        texts("x")


def test_ids_of_two_splits_may_not_be_the_same(tmp_path: Path) -> None:
    paths = [tmp_path / split / "qa.json" for split in ("train", "val")]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(f'[{{"video_id": {number}, "question": "who", "answer": "a"}}]')
    with pytest.raises(DataError, match="ids of questions of another split: qa:0"):
        OpenQuestionTextProcessor(
            bert_name=words_in(tmp_path), train_path=paths[0], val_path=paths[1]
        )
    with pytest.raises(ConfigError, match="one of train_path, val_path and test_path is needed"):
        OpenQuestionTextProcessor(bert_name=words_in(tmp_path))
