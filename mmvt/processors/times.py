"""Times in texts: seconds as one of some places of a video, and captions with two of them each."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from mmvt.errors import ConfigError, DataError

SEPARATOR = ";"
PROBLEMS = ("empty", "no times", "time out of range", "end before start", "no sentence")


class TimedText(NamedTuple):
    """A sentence and the places in its video where what it says begins and ends.

    Attributes:
        start: place, from 0.
        end: place, not before the start.
        sentence: what is said.
    """

    start: int
    end: int
    sentence: str


class Parsed(NamedTuple):
    """What a text says.

    Attributes:
        captions: in the order of the text.
        problems: how often something could not be read, by a name of :data:`PROBLEMS`.
    """

    captions: list[TimedText]
    problems: Counter[str]


class TimeCodec:
    """Writes times of a video as places, equally far from each other, and reads them again.

    The first place is the start of the video and the last one its end, so that a place that is read
    as seconds and written again is the same.

    Source: Vid2Seq (arXiv 2302.14115) §3.1.

    Args:
        bins: places of a video.
        form: a place is a ``number`` of ordinary tokens (``7``), or a ``token`` (``<t7>``), which
            is one where the vocabulary holds it, else several.

    Raises:
        ConfigError: there are fewer than two places.
    """

    def __init__(self, *, bins: int = 100, form: Literal["number", "token"] = "number") -> None:
        if bins < 2:
            raise ConfigError(f"bins is {bins}, but must be at least 2")
        self.bins = bins
        self.form = form
        # tokenizers of words put spaces around signs
        time = r"<\s*t\s*(\d+)\s*>\s*" if form == "token" else r"(\d+)(?!\S)\s*"
        self._caption = re.compile(rf"\s*{time}{time}(.*)", re.DOTALL | re.ASCII)

    @property
    def tokens(self) -> list[str]:
        """All places as they are written, for a vocabulary to hold them."""
        return [self.word(place) for place in range(self.bins)]

    def encode(self, seconds: float, duration: float) -> int:
        """Return the place that is nearest to a time; behind the end of the video it is the last.

        Raises:
            DataError: the time is NaN or negative, or the video has no length.
        """
        _check_duration(duration)
        if not seconds >= 0:
            raise DataError(f"{seconds:g} s is no time in a video")
        return math.floor(min(seconds / duration, 1.0) * (self.bins - 1) + 0.5)

    def decode(self, place: int, duration: float) -> float:
        """Return the seconds of a place.

        Raises:
            DataError: there is no such place, or the video has no length.
        """
        _check_duration(duration)
        if not 0 <= place < self.bins:
            raise DataError(f"{place} is none of the places 0 to {self.bins - 1}")
        return place / (self.bins - 1) * duration

    def word(self, place: int) -> str:
        """Return a place as it is written."""
        return f"<t{place}>" if self.form == "token" else str(place)

    def write(self, captions: Iterable[TimedText]) -> str:
        """Return captions as one text, ``start end sentence; …``.

        A semicolon in a sentence becomes a comma, and white space a single space.
        """
        gap = "" if self.form == "token" else " "
        pieces = (
            f"{self.word(start)}{gap}{self.word(end)} {plain(sentence)}"
            for start, end, sentence in captions
        )
        return f"{SEPARATOR} ".join(pieces)

    def parse(self, text: str) -> Parsed:
        """Return the captions of a text, and what of it could not be read.

        Each piece between semicolons is a caption or counts as a problem; an empty text has
        neither, and a semicolon may end it.
        """
        captions, problems = [], Counter[str]()
        pieces = text.split(SEPARATOR)
        if not pieces[-1].strip():
            pieces.pop()
        for piece in pieces:
            found = self._parsed(piece)
            if isinstance(found, TimedText):
                captions.append(found)
            else:
                problems[found] += 1
        return Parsed(captions, problems)

    def _parsed(self, piece: str) -> TimedText | str:
        """Return a caption, or the name of what is wrong with it."""
        if not piece.strip():
            return "empty"
        match = self._caption.fullmatch(piece)
        if match is None:
            return "no times"
        digits, sentence = match.groups()[:2], plain(match[3])
        # a number of thousands of digits is not even read
        if any(len(own.lstrip("0")) > len(str(self.bins)) for own in digits):
            return "time out of range"
        start, end = map(int, digits)
        if max(start, end) >= self.bins:
            return "time out of range"
        if end < start:
            return "end before start"
        return TimedText(start, end, sentence) if sentence else "no sentence"


def plain(sentence: str) -> str:
    """Return a sentence as texts with times hold it: no semicolon, single spaces."""
    return " ".join(sentence.replace(SEPARATOR, ",").split())


def _check_duration(duration: float) -> None:
    if not 0 < duration < math.inf:
        raise DataError(f"a video of {duration:g} s has no places")
