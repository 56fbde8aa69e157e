"""Transcripts: written and read back, and cut into segments."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.processors.transcript import Transcript, Word, segments, span, write_transcript
from mmvt.processors.transcript_files import read_transcript


def words(*starts: float) -> list[Word]:
    """Words of half a second, called by their numbers."""
    return [Word(str(n), float(start), start + 0.5) for n, start in enumerate(starts)]


def sizes(said: list[Word], **options: float) -> list[int]:
    return [len(group) for group in segments(said, **options)]


@pytest.mark.parametrize(
    ("count", "groups"), [(0, []), (1, [1]), (14, [14]), (15, [15]), (16, [15, 1]), (30, [15, 15])]
)
def test_segments_have_fifteen_words_and_the_last_what_is_left(count: int, groups: list[int]):
    said = words(*range(count))
    assert sizes(said) == groups
    assert [word for group in segments(said) for word in group] == said


def test_too_few_words_at_the_end_are_no_segment():
    assert sizes(words(*range(17)), min_words=2) == [15, 2]
    assert sizes(words(*range(17)), min_words=3) == [15]


def test_a_segment_that_would_last_too_long_is_looked_for_one_word_later():
    # three words, then a pause
    said = words(0, 1, 2, 40, 41, 42, 43)
    assert [w.text for group in segments(said, max_words=4) for w in group] == ["3", "4", "5", "6"]
    # exactly as long as it may be
    assert sizes([Word("a", 0.0, 1.0), Word("b", 29.0, 30.0)]) == [2]
    assert sizes([Word("a", 0.0, 1.0), Word("b", 29.0, 30.001)]) == [1]


def test_a_word_that_lasts_too_long_is_in_no_segment():
    assert segments([Word("oh", 0.0, 31.0)]) == []


def test_a_span_ends_with_the_word_that_ends_last():
    assert span([Word("a", 1.0, 5.0), Word("b", 2.0, 3.0)]) == (1, 5)


@pytest.mark.parametrize(
    "options", [{"min_words": 0}, {"min_words": 16}, {"max_words": 0}, {"max_seconds": 0.0}]
)
def test_numbers_out_of_range_are_refused(options: dict[str, int]):
    with pytest.raises(ValueError, match="no segments have"):
        segments([], **options)


TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=8)
SECONDS = st.floats(0, 1e4)


WORDS = st.lists(st.tuples(TEXTS, SECONDS, SECONDS, st.none() | st.floats(0, 1)), max_size=20)


@given(said=WORDS, language=st.none() | st.sampled_from(["en", "de"]), left_out=st.integers(0, 3))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    said: list[tuple[str, float, float, float | None]],
    language: str | None,
    left_out: int,
):
    written, time = [], 0.0
    for text, pause, seconds, probability in said:
        start = time + pause
        time = start + seconds
        written.append(Word(unicodedata.normalize("NFC", text), start, time, probability))
    transcript = Transcript(tuple(written), language, left_out)
    path = tmp_path_factory.mktemp("t") / "a.json"
    write_transcript(path, transcript)
    assert read_transcript(path) == transcript


@given(
    count=st.integers(0, 80), gap=st.integers(0, 5), options=st.tuples(*[st.integers(1, 20)] * 3)
)
def test_segments_keep_the_rule_whatever_is_said(
    count: int, gap: int, options: tuple[int, int, int]
):
    fewest, more, seconds = options
    said = words(*(number * gap for number in range(count)))
    groups = segments(said, max_words=fewest + more, min_words=fewest, max_seconds=float(seconds))
    numbers = [int(word.text) for group in groups for word in group]
    assert numbers == sorted(set(numbers))
    for group in groups:
        assert fewest <= len(group) <= fewest + more
        assert span(group)[1] - span(group)[0] <= seconds


def test_a_transcript_is_plain_json(tmp_path: Path):
    write_transcript(tmp_path / "x" / "a.json", Transcript((Word("Käse", 0.5, 1.0, 0.9),), "de"))
    assert json.loads((tmp_path / "x" / "a.json").read_text("utf-8")) == {
        "language": "de",
        "left_out": 0,
        "words": [{"word": "Käse", "start": 0.5, "end": 1.0, "probability": 0.9}],
    }
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a.json"]
