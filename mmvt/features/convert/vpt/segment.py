"""A segment of VPT: some words of a video, when they are said, and what was made of its frames."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmvt.errors import DataError
from mmvt.features.find import Failure
from mmvt.processors.annotations import Record
from mmvt.processors.transcript import Word

MOST_DIGITS = 9  # of the number of a segment
# what a field is called in Deeplake, then in the jsonl and the npz that came before it
NAMES = {
    "caption": ("caption", "captions"),
    "video_filename": (
        "video_filename",
        "video_filename_name",
        "video_filename_stem",
        "video_name",
        "video_stem",
    ),
    "start": ("start", "segment_start_time"),
    "end": ("end", "segment_end_time"),
    "segment_index": ("segment_index",),
    "total_segments": ("total_segments",),
    "segment_word_list": ("segment_word_list",),
}


class SegmentSource(ABC):
    """Segments in some form.

    Attributes:
        refused: what should hold segments and cannot be read.
    """

    refused: Sequence[Failure] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of segments."""

    @abstractmethod
    def where(self, number: int) -> str:
        """Return the place of a segment, for messages."""

    @abstractmethod
    def fields(self, number: int) -> Mapping[str, Any]:
        """Return what a segment holds beside arrays.

        Raises:
            MMVTError: it cannot be read.
        """

    @abstractmethod
    def arrays(self, number: int) -> Mapping[str, Any]:
        """Return the arrays of a segment, and its ``timestamp``, as far as there are any.

        Raises:
            MMVTError: they cannot be read.
        """


@dataclass(frozen=True)
class Segment:
    """What is said in a part of a video.

    Attributes:
        video_id: id of the video.
        start: seconds from its start.
        end: seconds, after the start.
        caption: the words as one text, with single spaces.
        words: the words with their times; none where the source does not tell them.
        index: its number in the video, from 0; None where the source does not tell.
        total: number of segments of the video; None where the source does not tell.
        undone: what of it is marked as not done.
    """

    video_id: str
    start: float
    end: float
    caption: str
    words: tuple[Word, ...]
    index: int | None
    total: int | None
    undone: tuple[str, ...]


def read_segment(fields: Mapping[str, Any]) -> Segment:
    """Return the segment that the fields of a source describe.

    ``segment_metadata`` may be a mapping, or JSON of one; numbers may be texts.

    Raises:
        DataError: with all that is wrong with it.
    """
    problems: list[str] = []
    record = Record("", renamed(_with_metadata(fields, problems)), problems)
    start, end = record.number("start"), record.number("end")
    segment = Segment(
        record.video("video_filename"),
        start,
        end,
        record.text("caption"),
        tuple(_words(record)),
        _whole(record, "segment_index"),
        _whole(record, "total_segments"),
        undone(fields),
    )
    if end <= start and not problems:
        record.problem(f"ends at {end:g} s, and begins at {start:g} s")
    if not _is_text(segment):
        record.problem("holds halves of characters, which are no text")
    if problems:
        # a segment has no place of its own here
        raise DataError("; ".join(problem.removeprefix(": ") for problem in problems))
    return segment


def renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are known, each under its one name, with numbers as Python's own."""
    found = {}
    for name, aliases in NAMES.items():
        value = next((fields[alias] for alias in aliases if fields.get(alias) is not None), None)
        if isinstance(value, np.generic):
            value = value.item()
        if value is not None:
            found[name] = value
    return found


def undone(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the flags that say that something was not done."""
    flags = (name for name in fields if name.startswith("done"))
    return tuple(name for name in flags if not np.all(fields[name]))


def _with_metadata(fields: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    metadata = fields.get("segment_metadata")
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except (ValueError, RecursionError) as error:
            problems.append(f"segment_metadata is not valid JSON: {error}")
            return {"start": 0, "end": math.inf, **fields}
    if metadata is None:
        return dict(fields)
    if not isinstance(metadata, Mapping):
        problems.append("segment_metadata is no mapping of keys and values")
        return dict(fields)
    return {**metadata, **fields}


def _words(record: Record) -> list[Word]:
    if record.content.get("segment_word_list") is None:
        return []
    words = []
    for number, value in enumerate(record.listed("segment_word_list"), start=1):
        entry = record.entry(value, f"word {number}")
        start, end = entry.number("start"), entry.number("end")
        if end < start:
            entry.problem(f"ends at {end:g} s, before it begins at {start:g} s")
        words.append(Word(entry.text("word"), start, end))
    return words


def _whole(record: Record, key: str) -> int | None:
    value = record.content.get(key)
    if isinstance(value, str) and len(value) > MOST_DIGITS:
        record.problem(f"{key} {value[:MOST_DIGITS]}… is too long")
        return None
    return None if value is None else record.whole(key)


def _is_text(segment: Segment) -> bool:
    """Return whether all texts can be written; JSON may hold halves of characters."""
    try:
        "".join([segment.caption, *(word.text for word in segment.words)]).encode()
    except UnicodeEncodeError:
        return False
    return True
