"""Clean-up of captions from speech recognition, which repeat each other's words.

Rolling captions show the end of the last one again. Here every word is said once: by the caption
that holds it, or by one of two that share it.

Source: VideoCLIP (arXiv 2109.14084), §4.1: captions of HowTo100M.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mmvt.errors import DataError
from mmvt.processors.base import TextClips
from mmvt.seeding import generator

Unit = Literal["words", "characters"]


@dataclass(frozen=True, slots=True)
class TimedText:
    """A caption as it was written down.

    Attributes:
        start: seconds from the start of the video.
        end: seconds.
        text: its words.
    """

    start: float
    end: float
    text: str


def text_clips(captions: Sequence[TimedText], tokens: list[list[int]]) -> TextClips:
    """Return captions with the token ids of their texts."""
    return TextClips(
        np.array([caption.start for caption in captions], dtype=float),
        np.array([caption.end for caption in captions], dtype=float),
        tokens,
    )


def tidy(captions: Sequence[TimedText]) -> list[TimedText]:
    """Return captions in time order, without empty ones, and with single spaces between words.

    Raises:
        DataError: a time is NaN, infinite or negative, or an end comes before its start.
    """
    for number, caption in enumerate(captions, start=1):
        # comparisons with NaN are false
        if not 0 <= caption.start <= caption.end < math.inf:
            raise DataError(f"caption {number} goes from {caption.start:g} to {caption.end:g} s")
    worded = [replace(caption, text=" ".join(caption.text.split())) for caption in captions]
    return sorted((c for c in worded if c.text), key=lambda caption: caption.start)


def without_repeats(
    captions: Sequence[TimedText], rng: np.random.Generator, unit: Unit = "words"
) -> list[TimedText]:
    """Return captions of which no two in a row repeat each other.

    A caption that repeats the end of the one before is merged into it, and one that begins with
    all of the one before takes its place. What two share otherwise is left to one of them, to
    either with probability 1/2, and the border between them is moved.

    Args:
        captions: tidy captions in time order.
        rng: the only source of chance.
        unit: what is compared. Single characters are the original's way, which takes "d" of
            "bread" before "done".
    """
    kept = list(captions[:1])
    for caption in captions[1:]:
        last = kept.pop()
        # the last one may have been moved behind the start of this one
        start = max(last.start, caption.start)
        caption = replace(caption, start=start, end=max(start, caption.end))
        shared = overlap(_units(last.text, unit), _units(caption.text, unit))
        if shared == 0:
            kept += [last, caption]
        else:
            kept += _resolved(last, caption, shared, rng, unit)
    return kept


def overlap(previous: Sequence[str], following: Sequence[str]) -> int:
    """Return the length of the longest end of one sequence with which another begins.

    It takes time in proportion to the lengths (Knuth, Morris and Pratt).
    """
    borders = [0] * len(following)  # longest proper beginning that ends at each place
    matched = 0
    for place in range(1, len(following)):
        matched = _extended(matched, following[place], following, borders)
        borders[place] = matched
    matched = 0
    for unit in previous[-len(following) :] if following else ():
        matched = _extended(matched, unit, following, borders)
    return matched


def video_generator(video_id: str) -> np.random.Generator:
    """Return the generator of a video's clean-up: data are the same in every run."""
    return generator(0, 0, zlib.crc32(video_id.encode()))


def _extended(matched: int, unit: str, following: Sequence[str], borders: Sequence[int]) -> int:
    while matched and (matched == len(following) or following[matched] != unit):
        matched = borders[matched - 1]
    return matched + 1 if following[matched] == unit else matched


def _resolved(
    last: TimedText, caption: TimedText, shared: int, rng: np.random.Generator, unit: Unit
) -> list[TimedText]:
    """Return what is left of two captions that share ``shared`` units."""
    before, after = _units(last.text, unit), _units(caption.text, unit)
    end = max(last.end, caption.end)
    if shared == len(after):
        return [replace(last, end=end)]
    if shared == len(before):
        return [TimedText(last.start, end, caption.text)]
    if rng.random() < 0.5:
        border = max(last.end, caption.start)
        rest = TimedText(border, max(border, caption.end), _text(after[shared:], unit))
        return [replace(last, end=border), rest]
    start = min(last.end, caption.start)
    return [TimedText(last.start, start, _text(before[:-shared], unit)), caption]


def _units(text: str, unit: Unit) -> Sequence[str]:
    return text.split() if unit == "words" else text


def _text(units: Sequence[str], unit: Unit) -> str:
    return (" " if unit == "words" else "").join(units).strip()
