from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.processors.text_experts import TextExperts, read_expert_lines


def seconds(steps: slice) -> tuple[float, float]:
    return float(steps.start), float(steps.stop)


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_lines_of_every_form_become_words_in_time_order(tmp_path: Path) -> None:
    path = write(
        tmp_path / "all.jsonl",
        {"video_id": "v", "text": "late  words", "start": 4, "end": 6},
        {"video_id": "v", "tags": ["dog bark", "wind"], "start": "1", "end": "2.5"},
        {"video_id": "w", "triples": [["a dog", "on", "sand"], ["cat", "sits", "a"]]},
        {"video_id": "x", "text": ""},
        {"video_id": "x", "tags": []},
    )
    found = read_expert_lines(path)
    assert [word.text for word in found["v"]] == ["dog", "bark,", "wind,", "late", "words"]
    assert [word.start for word in found["v"]] == [1, 1.5, 2, 4, 5]
    assert [word.end for word in found["v"]] == [1.5, 2, 2.5, 5, 6]
    assert " ".join(word.text for word in found["w"]) == "a dog on sand, cat sits a,"
    assert {(word.start, word.end) for word in found["w"]} == {(0.0, np.inf)}
    assert found["x"] == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"}', "lines.jsonl:1: no 'video_id'"),
        ('{"video_id": "v"}', "lines.jsonl:1: needs one of text, triples, tags, but has none"),
        ('{"video_id": "v", "text": "a", "tags": []}', "but has text, tags"),
        ('{"video_id": "v", "text": 3}', "text is no text"),
        ('{"video_id": "v", "tags": [3]}', "tags 1 is no text"),
        ('{"video_id": "v", "triples": [["a", "b"]]}', r"triples 1 is not \[subject, predicate"),
        ('{"video_id": "v", "text": "a", "start": 1}', "has start, but not both start and end"),
        ('{"video_id": "v", "text": "a", "start": 2, "end": 1}', "start and end .* is no time"),
        ('{"video_id": "v", "txt": "a"}', "'txt' is no key of a line; did you mean text"),
        ('{"video_id": "../v", "text": "a"}', "lines.jsonl:1: .*v"),
        ("[]", "lines.jsonl:1: is no mapping"),
        ("", "lines.jsonl: holds no line"),
    ],
)
def test_lines_that_are_wrong_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=message):
        read_expert_lines(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ocr.csv").touch()
    with pytest.raises(DataError, match=r"neither a .jsonl file nor a folder of transcripts"):
        TextExperts({"ocr": {"path": tmp_path / "ocr.csv"}})
    with pytest.raises(DataError, match=r"speech/transcripts: does not exist"):
        TextExperts({"ocr": {"path": tmp_path / "speech" / "transcripts"}})


def test_videos_that_an_expert_lacks_are_listed_or_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech" / "v.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\na dog\n")
    described = {
        "speech": {"path": tmp_path / "speech"},
        "ocr": {"path": write(tmp_path / "ocr.jsonl", {"video_id": "w", "text": "sand"})},
    }
    experts = TextExperts(described)
    told = r"speech: .* lacks 1 of 2 videos: w\n.*ocr: .* lacks 1 of 2 videos: v\n.*missing_exp"
    with pytest.raises(DataError, match=told):
        experts.check(["v", "w", "v"])
    with pytest.raises(DataError, match="lacks 1 of 1 videos: v"):
        experts("v", seconds)
    experts = TextExperts(described, missing=True)
    with caplog.at_level(logging.WARNING):
        experts.check(["v", "w"])
    assert caplog.text.count("lacks 1 of 2 videos") == 2
    speech, ocr = experts("v", seconds)
    assert [(word.text, word.start, word.end) for word in speech.words] == [
        ("a", 0, 1),
        ("dog", 1, 2),
    ]
    assert (ocr.words, ocr.seconds(slice(1, 3))) == ((), (1.0, 3.0))
    # as with transcripts, by the name of a file or by the name without its extension
    assert [len(own.words) for own in TextExperts(described, missing=True)("w.mp4", seconds)] == [
        0,
        1,
    ]
