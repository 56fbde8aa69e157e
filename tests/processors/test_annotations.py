from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import DataError
from mmvt.processors.annotations import (
    Record,
    check_unique,
    clean,
    read_json,
    read_json_lines,
    read_lines,
    read_table,
    read_text,
    refuse,
)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "notes.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def record(**content: Any) -> Record:
    return Record("FILE:3", content, [])


def test_text_loses_white_space_and_is_composed() -> None:
    assert clean(" a\tdog \n\u00a0ru\u0308ns ") == "a dog rüns"
    assert record(text="\na  🎉").text("text") == "a 🎉"
    assert record(texts=["a ", " b"]).texts("texts") == ["a", "b"]


@pytest.mark.parametrize(("value", "number"), [(0, 0.0), (1.5, 1.5), ("2", 2.0), (" 3.5 ", 3.5)])
def test_numbers_are_given_as_such_or_as_text(value: Any, number: float) -> None:
    one = record(number=value)
    assert (one.number("number"), one.problems) == (number, [])


def test_whole_numbers_lists_and_spans_are_read() -> None:
    one = record(id="165", label=-3, times=[[0, 1.5], ["2", 2]])
    assert (one.whole("id"), one.whole("label")) == (165, -3)
    assert one.spans("times") == [(0.0, 1.5), (2.0, 2.0)]
    assert one.problems == []


@pytest.mark.faults
@pytest.mark.parametrize(
    ("ask", "content", "problem"),
    [
        (lambda one: one.text("capton"), {"caption": "a"}, "no 'capton'; did you mean 'caption'?"),
        (lambda one: one.text("a"), {"a": None}, "no 'a'"),
        (lambda one: one.text("a"), {"a": " \t\n"}, "a is empty"),
        (lambda one: one.text("a"), {"a": 5}, "a is no text"),
        (lambda one: one.texts("a"), {"a": ["b", ""]}, "a 2 is empty"),
        (lambda one: one.video("a"), {"a": "../b"}, "the id '../b' leads out of its folder"),
        (lambda one: one.whole("a"), {"a": 1.5}, "a 1.5 is no whole number"),
        (lambda one: one.whole("a"), {"a": "x"}, "a 'x' is no whole number"),
        (lambda one: one.whole("a"), {"a": True}, "a True is no whole number"),
        (lambda one: one.number("a"), {"a": "nan"}, "a 'nan' is no number of at least 0"),
        (lambda one: one.number("a"), {"a": -1}, "a -1 is no number of at least 0"),
        (lambda one: one.number("a"), {"a": float("inf")}, "a inf is no number of at least 0"),
        (lambda one: one.listed("a"), {"a": "b"}, "a is no list"),
        (lambda one: one.spans("a"), {"a": [[2, 1]]}, "a 1 [2, 1] is no time from start to end"),
        (lambda one: one.spans("a"), {"a": [[-1, 1]]}, "a 1 [-1, 1] is no time"),
        (lambda one: one.spans("a"), {"a": [[0, 1], [0]]}, "a 2 [0] is no time"),
        (lambda one: one.spans("a"), {"a": [[0, None]]}, "a 1 [0, None] is no time"),
    ],
)
def test_what_is_wrong_is_noted_with_its_place(ask: Any, content: Any, problem: str) -> None:
    one = Record("FILE:3", content, [])
    ask(one)
    [found] = one.problems
    assert found.startswith(f"FILE:3: {problem}")


@pytest.mark.faults
def test_a_record_that_is_none_is_one_problem_whatever_it_is_asked() -> None:
    one = record(a=5)
    inner = one.entry(5, "clip 2")
    assert inner.text("caption") == ""
    assert inner.spans("times") == []
    assert inner.entry(inner.value("more"), "more").listed("deep") == []
    assert one.problems == ["FILE:3: clip 2: is no mapping of keys and values"]


def test_many_problems_are_counted() -> None:
    refuse([])
    with pytest.raises(DataError) as raised:
        refuse([f"line {number}" for number in range(53)])
    lines = str(raised.value).splitlines()
    assert lines[0] == "line 0"
    assert lines[-2:] == ["line 49", "... and 3 more problems"]


@pytest.mark.faults
def test_a_file_that_cannot_be_read_is_named_with_its_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.json: cannot be read: No such file"):
        read_text(tmp_path / "gone.json")
    with pytest.raises(DataError, match=r"txt:1: byte 2 is not UTF-8\n.*txt:3: byte 1 is not"):
        read_text(written(tmp_path, b"a\xe9\nb\n\xff"))
    assert read_text(written(tmp_path, b"\xef\xbb\xbfa\n")) == "a\n"


@pytest.mark.faults
@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not valid JSON"), ('{"v": 1, "v": 2}', "'v' is there twice"), ("[" * 99_999, "JSON")],
)
def test_json_that_is_wrong_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"notes.txt: .*{message}"):
        read_json(written(tmp_path, content))


def test_lines_of_json_are_records(tmp_path: Path) -> None:
    problems: list[str] = []
    path = written(tmp_path, '{"a": "\u2028 b"}\r\n\n[1]\n{"a": \n{"a": 2}\n')
    records = read_json_lines(path, problems)
    assert [(one.where, one.content) for one in records] == [
        (f"{path}:1", {"a": "\u2028 b"}),
        (f"{path}:5", {"a": 2}),
    ]
    assert [problem.replace(str(path), "FILE")[:30] for problem in problems] == [
        "FILE:3: is no mapping of keys ",
        "FILE:4: not valid JSON: Expect",
    ]
    assert read_lines(written(tmp_path, "a\n\n b \n")) == [(f"{path}:1", "a"), (f"{path}:3", "b")]


def test_a_table_may_have_further_columns(tmp_path: Path) -> None:
    problems: list[str] = []
    path = written(tmp_path, 'b,a,more\n1,"x\ny",2\n\n3,z,4\n')
    rows = read_table(path, ["a", "b"], problems)
    assert [(row.where, row.content["a"]) for row in rows] == [
        (f"{path}:2", "x\ny"),
        (f"{path}:5", "z"),
    ]
    assert problems == []
    assert read_table(written(tmp_path, "a\tb\n1\t2,3\n"), ["b"], [], "\t")[0].text("b") == "2,3"


@pytest.mark.faults
def test_a_table_that_is_wrong_is_told_by_lines(tmp_path: Path) -> None:
    problems: list[str] = []
    path = written(tmp_path, "video_ids,text\nx,y\nz\n")
    assert read_table(path, ["video_id", "text"], problems) == []
    assert [problem.replace(str(path), "FILE") for problem in problems] == [
        "FILE:1: no column 'video_id'; did you mean video_ids?",
        "FILE:3: 1 cells, but 2 columns",
    ]


@pytest.mark.faults
def test_what_occurs_twice_is_noted() -> None:
    problems: list[str] = []
    check_unique([("FILE:1", 7), ("FILE:2", 8), ("FILE:3", 7)], "qid", problems)
    assert problems == ["FILE:3: the same qid 7 as FILE:1"]


def test_json_round_trips(tmp_path: Path) -> None:
    assert read_json(written(tmp_path, json.dumps({"a": [1, None]}))) == {"a": [1, None]}
