"""Captions of every form of file, cleaned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmvt.errors import DataError
from mmvt.processors.text.cleaned import cleaned_captions
from mmvt.processors.text.dedup import TimedText

CSV = "video,caption,start,end\nv,runs on sand,2,4\nv,a dog runs on,0,3\nw,the cat,,\n"


def test_captions_of_a_csv_come_in_time_order(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(CSV)
    captions = cleaned_captions(tmp_path / "c.csv", None)
    assert captions("v") == [
        TimedText(0.0, 3.0, "a dog runs on"),
        TimedText(2.0, 4.0, "runs on sand"),
    ]
    assert captions("w") == [TimedText(0.0, float("inf"), "the cat")]


def test_words_are_said_once_in_a_csv_as_in_json(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(CSV)
    lists = {"start": [0, 2], "end": [3, 4], "text": ["a dog runs on", "runs on sand"]}
    (tmp_path / "c.json").write_text(json.dumps({"v": lists}))
    of_csv = cleaned_captions(tmp_path / "c.csv", "words")("v")
    assert of_csv == cleaned_captions(tmp_path / "c.json", "words")("v")
    assert " ".join(caption.text for caption in of_csv) == "a dog runs on sand"


@pytest.mark.faults
def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(CSV)
    with pytest.raises(DataError, match=r"c\.csv has no captions of the video 'x'"):
        cleaned_captions(tmp_path / "c.csv", None)("x")
    with pytest.raises(DataError, match=r"c\.csv:4: without an end it cannot be cleaned"):
        cleaned_captions(tmp_path / "c.csv", "words")("w")
    with pytest.raises(DataError, match=r"none\.json: cannot be read"):
        cleaned_captions(tmp_path / "none.json", "words")
