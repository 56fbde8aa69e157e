from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.errors import ConfigError, DataError
from mmvt.processors.times import PROBLEMS, TimeCodec, TimedText, plain

Form = Literal["number", "token"]
FORMS = st.sampled_from(["number", "token"])
DURATIONS = st.floats(min_value=1e-3, max_value=1e6)


@given(st.data(), st.integers(2, 5000), DURATIONS)
def test_a_place_read_as_seconds_and_written_again_is_the_same(
    data: st.DataObject, bins: int, duration: float
):
    codec = TimeCodec(bins=bins)
    place = data.draw(st.integers(0, bins - 1))
    assert codec.encode(codec.decode(place, duration), duration) == place


@given(st.floats(0, 1), st.integers(2, 1000), DURATIONS)
def test_a_time_is_read_back_to_half_a_place(share: float, bins: int, duration: float):
    codec, seconds = TimeCodec(bins=bins), share * duration
    back = codec.decode(codec.encode(seconds, duration), duration)
    assert abs(back - seconds) <= duration / (bins - 1) / 2 * (1 + 1e-9)


def test_places_reach_from_the_start_to_the_end():
    codec = TimeCodec(bins=5)
    assert [codec.decode(place, 8.0) for place in range(5)] == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert [codec.encode(t, 8.0) for t in (0.0, 0.9, 1.0, 7.0, 8.0, 9.0, math.inf)] == [
        0,
        0,
        1,
        4,
        4,
        4,
        4,
    ]


@st.composite
def told(draw: st.DrawFn) -> tuple[TimeCodec, list[TimedText]]:
    """Draw a codec and captions with any text that is not blank."""
    bins = draw(st.integers(2, 1000))
    places = st.tuples(st.integers(0, bins - 1), st.integers(0, bins - 1)).map(sorted)
    sentences = st.text(max_size=20).map(plain).filter(bool)
    pairs = draw(st.lists(st.tuples(places, sentences), max_size=5))
    captions = [TimedText(start, end, text) for (start, end), text in pairs]
    return TimeCodec(bins=bins, form=draw(FORMS)), captions


@given(told())
def test_captions_written_are_read_again(case: tuple[TimeCodec, list[TimedText]]):
    codec, captions = case
    assert codec.parse(codec.write(captions)) == (captions, {})


@given(st.text(alphabet="0179 <t>;ab\n²", max_size=40), FORMS)
def test_every_piece_is_a_caption_or_a_counted_problem(text: str, form: Form):
    captions, problems = TimeCodec(bins=80, form=form).parse(text)
    pieces = text.split(";")
    assert len(captions) + problems.total() == len(pieces) - (not pieces[-1].strip())
    assert set(problems) <= set(PROBLEMS)


def test_numbers_and_tokens_as_they_are_written():
    captions = [TimedText(0, 25, "a dog;  runs"), TimedText(25, 99, "3 men sleep")]
    assert TimeCodec().write(captions) == "0 25 a dog, runs; 25 99 3 men sleep"
    codec = TimeCodec(form="token")
    assert codec.write(captions) == "<t0><t25> a dog, runs; <t25><t99> 3 men sleep"
    assert codec.tokens[:2] == ["<t0>", "<t1>"]
    assert len(codec.tokens) == 100


def test_signs_may_have_spaces_around_them():
    found = TimeCodec(form="token").parse(" < t3 > < t12 > a dog ; <t 12><t13>a cat ;")
    assert found == ([TimedText(3, 12, "a dog"), TimedText(12, 13, "a cat")], {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (" ; 1 2 x", "empty"),
        ("a dog runs", "no times"),
        ("1 a dog runs", "no times"),
        ("1 2nd dog", "no times"),
        ("-1 2 a dog", "no times"),
        ("0.5 2 a dog", "no times"),
        ("² 3 a dog", "no times"),
        ("0 10 a dog", "time out of range"),
        ("0 " + "9" * 5000 + " a dog", "time out of range"),
        ("5 4 a dog", "end before start"),
        ("5 9", "no sentence"),
        ("5 9  ", "no sentence"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, problem: str):
    assert TimeCodec(bins=10).parse(text).problems == {problem: 1}


def test_the_last_place_and_leading_zeros_are_read():
    assert TimeCodec(bins=10).parse("0009 9 x").captions == [TimedText(9, 9, "x")]


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_text_says_nothing(text: str):
    assert TimeCodec().parse(text) == ([], {})


@pytest.mark.parametrize("duration", [0.0, -1.0, math.nan, math.inf])
def test_a_video_needs_a_length(duration: float):
    with pytest.raises(DataError, match="has no places"):
        TimeCodec().encode(1.0, duration)
    with pytest.raises(DataError, match="has no places"):
        TimeCodec().decode(1, duration)


def test_impossible_places_and_times_are_refused():
    with pytest.raises(ConfigError, match="bins is 1, but must be at least 2"):
        TimeCodec(bins=1)
    for place in (-1, 100):
        with pytest.raises(DataError, match=f"{place} is none of the places 0 to 99"):
            TimeCodec().decode(place, 1.0)
    for seconds in (-0.1, math.nan):
        with pytest.raises(DataError, match="is no time in a video"):
            TimeCodec().encode(seconds, 1.0)
