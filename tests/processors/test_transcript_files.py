"""Transcripts of every form, right and wrong."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import DataError
from mmvt.processors.transcript import Word
from mmvt.processors.transcript_files import find_transcript, read_transcript

SRT = """\
1
00:00:00,500 --> 00:00:01,500
Hello <i>there</i>,

2
00:00:02,000 --> 00:00:03,000 X1:10 X2:20
{\\an8}General
Kenobi &
"""
VTT = """\
WEBVTT - a file
Kind: captions

NOTE
made by hand

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.000 align:start
<v Bob>Fish &amp; chips</v>

01:00:00.000 --> 01:00:01.000
late
"""
ROLLING = """\
WEBVTT

00:00:00.000 --> 00:00:02.000
{}
one<00:00:00.500><c> two</c><00:00:01.000><c> three</c>

00:00:02.000 --> 00:00:02.010
one two three
{}

00:00:02.010 --> 00:00:04.000
one two three
four<00:00:03.000><c> five</c>
""".format(" ", " ")


def write(folder: Path, name: str, content: str | bytes | Any) -> Path:
    path = folder / name
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def said(path: Path) -> list[tuple[str, float, float]]:
    return [(word.text, word.start, word.end) for word in read_transcript(path).words]


# --- JSON


def word(text: str, start: Any, end: Any, **more: Any) -> dict[str, Any]:
    return {"word": text, "start": start, "end": end, **more}


def test_whisper_with_times_of_words(tmp_path: Path):
    first = [word(" Hello", 0.0, 0.5, probability=0.75), word(" there.", 0.5, 1.0)]
    segment = {"id": 0, "seek": 0, "start": 0.0, "end": 1.0, "text": " Hello there."}
    content = {"text": " Hello there.", "segments": [{**segment, "words": first}], "language": "en"}
    transcript = read_transcript(write(tmp_path, "a.json", content))
    assert transcript.words == (Word("Hello", 0.0, 0.5, 0.75), Word("there.", 0.5, 1.0))
    assert transcript.language == "en"


def test_whisper_without_times_of_words(tmp_path: Path):
    content = {"segments": [{"start": 1.0, "end": 2.0, "text": " one two\nthree four"}]}
    assert said(write(tmp_path, "a.json", content)) == [
        ("one", 1.0, 1.25),
        ("two", 1.25, 1.5),
        ("three", 1.5, 1.75),
        ("four", 1.75, 2.0),
    ]


def test_a_list_of_segments_and_numbers_as_texts(tmp_path: Path):
    content = [
        {"words": [word("a", "0.25", "1"), word("b", "1e0", "2.5")]},
        {"words": None, **EMPTY},
    ]
    assert said(write(tmp_path, "a.json", content)) == [("a", 0.25, 1.0), ("b", 1.0, 2.5)]


EMPTY = {"start": 3, "end": 4, "text": ""}


def test_words_in_one_list_are_put_in_order(tmp_path: Path):
    content = {"words": [word("b", 2, 3), word("a", 0, 1)], "segments": [EMPTY]}
    assert said(write(tmp_path, "a.json", content)) == [("a", 0, 1), ("b", 2, 3)]


def test_a_video_in_which_nothing_is_said_has_no_words(tmp_path: Path):
    assert read_transcript(write(tmp_path, "a.json", {"segments": []})).words == ()
    assert read_transcript(write(tmp_path, "a.srt", "")).words == ()
    assert read_transcript(write(tmp_path, "a.vtt", "WEBVTT")).words == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"words": [{"word": "a", "start": NaN, "end": 1}]}', "word 1: start nan is no number"),
        ({"words": [word("a", -1, 1)]}, r"a\.json: word 1: start -1 is no number of at least 0"),
        ({"words": [word("a", 2, 1)]}, "word 1: ends at 1 s, before it begins at 2 s"),
        ({"words": [word("a", "x", 1)]}, "start 'x' is no number"),
        ({"words": [word(" ", 0, 1)]}, "word 1: word is empty"),
        ({"words": [{"word": "a", "start": 0}]}, "word 1: no 'end'"),
        ({"words": ["a"]}, "word 1: is no mapping"),
        ({"segments": [EMPTY, {**EMPTY, "end": 1}]}, "segment 2: ends at 1 s, before"),
        (
            {"segments": [{"words": [word("a", 0, 1), word("b", 1, -1)]}]},
            "segment 1: word 2: end -1",
        ),
        ({"segments": [{"start": 0, "end": 1}]}, "segment 1: no 'text'"),
        ({"segments": [{**EMPTY, "text": 3}]}, "segment 1: text is no text"),
        ({"segmnts": []}, "no 'segments'; did you mean 'segmnts'"),
        ("[", r"a\.json: not valid JSON: .*line 1"),
        ("3", r"a\.json: is no transcript, but int"),
    ],
)
def test_what_is_wrong_with_json_is_named(tmp_path: Path, content: Any, message: str):
    with pytest.raises(DataError, match=message):
        read_transcript(write(tmp_path, "a.json", content))


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path):
    content = {"words": [word("a", 2, 1), word("b", 1, 2), word("c", 3, 2)]}
    with pytest.raises(DataError, match=r"(?s)word 1: ends.*word 3: ends"):
        read_transcript(write(tmp_path, "a.json", content))


# --- subtitles


def test_words_of_subrip_share_the_time_of_their_cue(tmp_path: Path):
    expected = [
        ("Hello", 0.5, 1.0),
        ("there,", 1.0, 1.5),
        ("General", 2.0, pytest.approx(2 + 1 / 3)),
        ("Kenobi", pytest.approx(2 + 1 / 3), pytest.approx(2 + 2 / 3)),
        ("&", pytest.approx(2 + 2 / 3), 3.0),
    ]
    assert said(write(tmp_path, "a.srt", SRT)) == expected
    windows = "\ufeff" + SRT.replace("\n", "\r\n")
    assert said(write(tmp_path, "b.SRT", windows)) == expected
    assert said(write(tmp_path, "c.srt", SRT.replace("\n", "\r"))) == expected


def test_webvtt_has_notes_styles_names_and_entities(tmp_path: Path):
    third = pytest.approx(1 + 1 / 3), pytest.approx(1 + 2 / 3)
    assert said(write(tmp_path, "a.vtt", VTT)) == [
        ("Fish", 1.0, third[0]),
        ("&", *third),
        ("chips", third[1], 2.0),
        ("late", 3600.0, 3601.0),
    ]


def test_times_inside_of_cues_are_those_of_words_and_lines_shown_again_are_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        assert said(write(tmp_path, "a.vtt", ROLLING)) == [
            ("one", 0.0, 0.5),
            ("two", 0.5, 1.0),
            ("three", 1.0, 2.0),
            ("four", 2.01, 3.0),
            ("five", 3.0, 4.0),
        ]
    assert "a.vtt: shows 2 lines again; they are said once" in caplog.text


def test_without_times_inside_what_is_said_twice_stays(tmp_path: Path):
    text = "1\n00:01 --> 00:02\nNo!\n\n2\n00:02 --> 00:03\nNo!\n"
    assert said(write(tmp_path, "a.srt", text)) == [("No!", 1, 2), ("No!", 2, 3)]


def test_cues_that_overlap_are_reported_and_keep_their_words_together(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    text = "1\n00:03 --> 00:05\nc d\n\n2\n00:00 --> 00:04\na b\n"
    assert [text for text, _, _ in said(write(tmp_path, "a.srt", text))] == ["a", "b", "c", "d"]
    assert f"{tmp_path}/a.srt: 1 words begin before another has ended" in caplog.text
    assert f"the first: {tmp_path}/a.srt:2" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.srt", "1\n00:00:02,000 --> 00:00:01,000\na\n", r"a\.srt:2: ends at 1 s, before"),
        ("a.srt", "1\n-00:00:01,000 --> 00:00:01,000\na\n", r":2: '-00:00:01,000' is no time"),
        ("a.srt", "1\n00:00:01,000 --> NaN\na\n", r":2: 'NaN' is no time such as"),
        ("a.srt", "1\n00:00:01,000 -->\na\n", r":2: '' is no time"),
        ("a.srt", "1\n00:61:00,000 --> 02:00:00,000\na\n", r":2: '00:61:00,000' is no time"),
        ("a.srt", "\n\nlost words\n", r"a\.srt:3: 'lost words' belongs to no cue"),
        ("a.srt", "one\n00:01 --> 00:02\na\n", r"a\.srt:1: 'one' is no number of a cue"),
        ("a.srt", "1\n00:01 --> 00:02\na\n2\n00:02 --> 00:03\nb", r":5: a cue begins without a bl"),
        ("a.vtt", "00:01 --> 00:02\na\n", r"a\.vtt:1: does not begin with WEBVTT"),
        ("a.vtt", "WEBVTT\n\na\nb\n00:01 --> 00:02\nc\n", r":3: 'a' is no number of a cue"),
        ("a.vtt", "WEBVTT\n\n00:01 --> 00:02\na<00:03.000>b", r":3: the time 00:03.000 inside"),
        ("a.srt", b"1\n00:01 --> 00:02\n\xff\n", r"a\.srt:3: byte 1 is not UTF-8"),
        ("a.txt", "hello", r"a\.txt: is no transcript \(\.json, \.srt, \.vtt\)"),
    ],
)
def test_what_is_wrong_with_subtitles_is_named_by_its_line(
    tmp_path: Path, name: str, text: str | bytes, message: str
):
    with pytest.raises(DataError, match=message):
        read_transcript(write(tmp_path, name, text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"none\.srt: cannot be read: No such file"):
        read_transcript(tmp_path / "none.srt")


# --- by video


def test_a_transcript_is_found_by_the_id_with_and_without_extension(tmp_path: Path):
    (tmp_path / "x").mkdir()
    short = write(tmp_path, "x/a.b.srt", SRT)
    assert find_transcript(tmp_path, "x/a.b.mp4") == short
    long = write(tmp_path, "x/a.b.mp4.json", [])
    assert find_transcript(tmp_path, "x/a.b.mp4") == long
    with pytest.raises(DataError, match="has no transcript of the video 'x/a'"):
        find_transcript(tmp_path, "x/a")
    with pytest.raises(DataError, match=r"no transcript of the video '\.'"):
        find_transcript(tmp_path, ".")


def test_two_transcripts_of_a_video_are_refused(tmp_path: Path):
    write(tmp_path, "a.srt", SRT)
    write(tmp_path, "a.vtt", VTT)
    with pytest.raises(DataError, match=r"'a' has several transcripts: .*a\.srt, .*a\.vtt"):
        find_transcript(tmp_path, "a")
