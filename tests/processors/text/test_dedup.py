from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.errors import DataError
from mmvt.processors.text.dedup import (
    TimedText,
    Unit,
    overlap,
    tidy,
    video_generator,
    without_repeats,
)


class Coin(np.random.Generator):
    """Gives the shared words to the earlier caption, or to the later one, as it is told."""

    def __init__(self, *sides: str) -> None:
        super().__init__(np.random.PCG64(0))
        self.sides: Iterator[str] = iter(sides)

    def random(self) -> float:  # type: ignore[override]
        return {"earlier": 0.0, "later": 0.9}[next(self.sides)]


def texts(*captions: tuple[float, float, str]) -> list[TimedText]:
    return [TimedText(float(start), float(end), text) for start, end, text in captions]


@pytest.mark.parametrize(
    ("captions", "sides", "cleaned"),
    [
        # nothing shared
        ([(0, 2, "a b"), (1, 3, "c d")], [], [(0, 2, "a b"), (1, 3, "c d")]),
        # the end of the one before: merged, with the later end of both
        ([(0, 2, "a b c"), (1, 3, "b c")], [], [(0, 3, "a b c")]),
        ([(0, 4, "a b"), (1, 3, "a b")], [], [(0, 4, "a b")]),
        # it begins with all of the one before, and takes its place
        ([(0, 2, "a b"), (1, 3, "a b c")], [], [(0, 3, "a b c")]),
        # shared in part: one of them keeps it, and the border moves
        ([(0, 2, "a b"), (3, 5, "b c")], ["earlier"], [(0, 3, "a b"), (3, 5, "c")]),
        ([(0, 4, "a b"), (3, 5, "b c")], ["earlier"], [(0, 4, "a b"), (4, 5, "c")]),
        ([(0, 6, "a b"), (3, 5, "b c")], ["earlier"], [(0, 6, "a b"), (6, 6, "c")]),
        ([(0, 4, "a b"), (3, 5, "b c")], ["later"], [(0, 3, "a"), (3, 5, "b c")]),
        ([(0, 2, "a b"), (3, 5, "b c")], ["later"], [(0, 2, "a"), (3, 5, "b c")]),
        # the longest that is shared counts
        ([(0, 1, "x a b a b"), (1, 2, "a b a b c")], ["later"], [(0, 1, "x"), (1, 2, "a b a b c")]),
        # what is left goes on being compared
        (
            [(0, 2, "a b"), (2, 4, "b c"), (4, 6, "c")],
            ["earlier"],
            [(0, 2, "a b"), (2, 6, "c")],
        ),
        # a caption that starts before the border that was moved begins there
        (
            [(0, 9, "a b"), (1, 5, "b c"), (2, 4, "d")],
            ["earlier"],
            [(0, 9, "a b"), (9, 9, "c"), (9, 9, "d")],
        ),
    ],
)
def test_every_word_is_said_once(
    captions: list[tuple[float, float, str]],
    sides: list[str],
    cleaned: list[tuple[float, float, str]],
) -> None:
    coin = Coin(*sides)
    assert without_repeats(texts(*captions), coin) == texts(*cleaned)
    assert not list(coin.sides)


def test_words_are_compared_whole_and_characters_singly() -> None:
    captions = texts((0, 1, "make bread"), (1, 2, "done well"))
    assert without_repeats(captions, Coin()) == captions
    ours = without_repeats(captions, Coin("later"), "characters")
    assert ours == texts((0, 1, "make brea"), (1, 2, "done well"))


def test_shared_words_go_to_either_caption_equally_often() -> None:
    captions = texts((0, 2, "a b"), (2, 4, "b c"))
    earlier = sum(
        without_repeats(captions, video_generator(f"v{k}"))[0].text == "a b" for k in range(400)
    )
    assert 150 < earlier < 250
    again = [without_repeats(captions, video_generator("v")) for _ in range(2)]
    assert again[0] == again[1]


@given(st.text("ab", max_size=12), st.text("ab", max_size=12))
def test_the_overlap_is_the_longest_shared_border(previous: str, following: str) -> None:
    lengths = range(min(len(previous), len(following)) + 1)
    longest = max(k for k in lengths if previous.endswith(following[:k]))
    assert overlap(previous, following) == longest


_CAPTION = st.tuples(st.integers(0, 20), st.integers(0, 9), st.text("ab ", max_size=9))


@given(st.lists(_CAPTION, max_size=8), st.sampled_from(["words", "characters"]), st.integers(0, 9))
def test_clean_captions_are_in_time_order_and_not_empty(
    drawn: list[tuple[int, int, str]], unit: Unit, seed: int
) -> None:
    captions = tidy(texts(*((start, start + n, text) for start, n, text in drawn)))
    cleaned = without_repeats(captions, np.random.default_rng(seed), unit)
    assert all(caption.text.strip() and caption.start <= caption.end for caption in cleaned)
    starts = [caption.start for caption in cleaned]
    assert starts == sorted(starts)
    if unit == "words":  # every word is kept, in the order in which it was first said
        kept = " ".join(caption.text for caption in cleaned).split()
        said = " ".join(caption.text for caption in captions).split()
        assert set(kept) == set(said)
        assert len(kept) <= len(said)


@pytest.mark.faults
def test_empty_captions_go_and_white_space_becomes_one_space() -> None:
    captions = texts((3, 4, " b\n\tc "), (0, 1, ""), (1, 2, " \n"), (2, 3, "a\r\nb\u2028\ufeff"))
    assert tidy(captions) == texts((2, 3, "a b \ufeff"), (3, 4, "b c"))
    assert tidy([]) == []
    assert without_repeats([], Coin()) == []


@pytest.mark.faults
@pytest.mark.parametrize(
    ("start", "end"),
    [(math.nan, 1), (0, math.nan), (-1, 1), (2, 1), (0, math.inf), (math.inf, math.inf)],
)
def test_impossible_times_are_named(start: float, end: float) -> None:
    with pytest.raises(DataError, match=r"caption 2 goes from .* s"):
        tidy(texts((0, 1, "a"), (start, end, "b")))


@pytest.mark.faults
def test_captions_of_100_000_characters_do_not_hang() -> None:
    captions = texts((0, 1, "a" * 99_999 + "b"), (1, 2, "a" * 100_000), (2, 3, "a " * 50_000))
    for unit in ("words", "characters"):
        assert without_repeats(tidy(captions), np.random.default_rng(0), unit)
