from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest

from mmvt.errors import DataError
from mmvt.processors.meta.tvqa import TVQAMetaProcessor, read_questions, said_in
from mmvt.processors.questions import AskedQuestion
from mmvt.processors.text.questions import TVQATextProcessor
from tests.asking import words_in

ROW = {
    "a0": "red",
    "a1": "green",
    "a2": "a ball",
    "a3": "blue",
    "a4": "white",
    "answer_idx": 1,
    "q": "what color is it ?",
    "qid": 122039,
    "show_name": "House M.D.",
    "ts": "76.01-84.2",
    "vid_name": "house_s01e01_seg01_clip_01",
}
SRT = """\
1
00:01:10,000 --> 00:01:17,000
red box

2
00:01:30,000 --> 00:01:31,000
blue
"""


def write(folder: Path, *changes: dict[str, object]) -> Path:
    path = folder / "tvqa_val.jsonl"
    path.write_text("".join(json.dumps(ROW | change) + "\n" for change in changes))
    return path


def test_questions_are_about_the_clip_or_the_time_given(tmp_path: Path) -> None:
    path = write(tmp_path, {})
    answers = ["red", "green", "a ball", "blue", "white"]
    fields = (ROW["vid_name"], "122039", ROW["q"], answers, 1, ("House M.D.",))
    assert read_questions(path) == [AskedQuestion(*fields)]  # type: ignore[arg-type]
    timed = AskedQuestion(*fields, span=(76.01, 84.2))  # type: ignore[arg-type]
    assert read_questions(path, times=True) == [timed]
    meta = TVQAMetaProcessor(split="test", val_path=path)
    assert list(meta) == [(ROW["vid_name"], "122039")]


def test_times_that_are_no_numbers_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, {}, {"qid": 1, "ts": "NaN-NaN"})
    with caplog.at_level(logging.WARNING):
        assert read_questions(path, times=True)[1].span == (0.0, math.inf)
    assert "1 of 2 questions have no time" in caplog.text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer_idx": 5}, "val.jsonl:2: answer_idx 5 is none of 0 to 4"),
        ({"answer_idx": None}, "val.jsonl:2: no 'answer_idx'"),
        ({"a3": ""}, "val.jsonl:2: a3 is empty"),
        ({"qid": "x"}, "val.jsonl:2: qid 'x' is no whole number"),
        ({"qid": 122039}, "val.jsonl:2: the same qid '122039' as .*:1"),
        ({"ts": "84-76"}, "val.jsonl:2: ts '84-76' .* is no time from start to end"),
        ({"ts": "later"}, "val.jsonl:2: ts 'later' .* is no time from start to end"),
        ({"ts": 3}, "val.jsonl:2: ts is no text"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], problem: str, tmp_path: Path) -> None:
    path = write(tmp_path, {}, {"qid": 1} | change)
    with pytest.raises(DataError, match=problem):
        read_questions(path, times=True)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no question"):
        read_questions(write(tmp_path))


def test_what_is_said_in_the_part_is_the_context(tmp_path: Path) -> None:
    path, words = write(tmp_path, {}), words_in(tmp_path)
    (tmp_path / f"{ROW['vid_name']}.srt").write_text(SRT)
    whole = TVQATextProcessor(bert_name=words, val_path=path, transcripts=tmp_path)
    timed = TVQATextProcessor(bert_name=words, val_path=path, times=True, transcripts=tmp_path)
    silent = TVQATextProcessor(bert_name=words, val_path=path, times=True)
    context = [texts("122039").context for texts in (whole, timed, silent)]
    assert [whole.tokenizer.decode(ids) for ids in context] == ["red box blue", "box", ""]
    assert timed("122039").start.tolist() == [76.01] * 5
    assert timed("122039").answer == 1
    assert whole("122039").end.tolist() == [math.inf] * 5
    with pytest.raises(DataError, match="has no transcript of the video 'other'"):
        said_in(tmp_path, "other", (0.0, 1.0))
