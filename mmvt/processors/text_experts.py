"""Reads what text experts say of videos: speech, text in the picture, scene graphs and tags."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvt.errors import DataError, did_you_mean
from mmvt.processors.annotations import Record, clean, read_json_lines, refuse
from mmvt.processors.expert_words import ExpertWords, TextExpert, text_experts
from mmvt.processors.splits import named
from mmvt.processors.transcript import Word
from mmvt.processors.transcript_files import (
    find_transcript,
    names_of,
    read_transcript,
    shared_words,
    transcripts_of,
)

logger = logging.getLogger(__name__)

_SAID = ("text", "triples", "tags")
_KEYS = ("video_id", "start", "end", *_SAID)


class TextExperts:
    """Reads what text experts say of videos.

    Args:
        described: the experts by name, in the order of the prompt: ``path``, ``label`` (the name
            and a colon unless set), ``max_tokens`` (32) and ``rule`` (``first``).
        missing: take it that an expert which lacks a video has nothing to say of it, instead of
            refusing.

    Raises:
        ConfigError: with every problem of the description.
        DataError: with every problem of a file.
    """

    def __init__(self, described: Mapping[str, Any], *, missing: bool = False) -> None:
        self.experts, self.missing = text_experts(described), missing
        self._lines = {
            expert.name: read_expert_lines(expert.path)
            for expert in self.experts
            if not expert.path.is_dir()
        }

    def check(self, video_ids: Sequence[str]) -> None:
        """Make sure that the experts know the videos of a data set.

        What they may lack is counted in the log.

        Raises:
            DataError: an expert lacks some, and may not.
        """
        ids, problems = list(dict.fromkeys(video_ids)), []
        for expert in self.experts:
            lacking = [video_id for video_id in ids if not self._knows(expert, video_id)]
            if lacking:
                problems.append(
                    f"text expert {expert.name}: {expert.path} lacks {len(lacking)} of {len(ids)} "
                    f"videos: {named(lacking)}"
                )
        if problems and not self.missing:
            raise DataError(
                "\n".join(problems)
                + "\nwith missing_experts: true they have nothing to say of them"
            )
        for problem in problems:
            logger.warning("%s", problem)

    def __call__(
        self, video_id: str, seconds: Callable[[slice], tuple[float, float]]
    ) -> tuple[ExpertWords, ...]:
        """Return what each expert says of a video.

        Args:
            video_id: id of the video.
            seconds: returns the start and the end of steps of its features.

        Raises:
            DataError: an expert lacks the video, and may not, or a transcript is wrong.
        """
        return tuple(
            ExpertWords(expert, self._words(expert, video_id), seconds) for expert in self.experts
        )

    def _knows(self, expert: TextExpert, video_id: str) -> bool:
        if expert.name not in self._lines:
            return bool(transcripts_of(expert.path, video_id))
        return any(name in self._lines[expert.name] for name in names_of(video_id))

    def _words(self, expert: TextExpert, video_id: str) -> Sequence[Word]:
        if not self._knows(expert, video_id):
            if not self.missing:
                self.check([video_id])
            return ()
        lines = self._lines.get(expert.name)
        if lines is not None:
            return next(lines[name] for name in names_of(video_id) if name in lines)
        return read_transcript(find_transcript(expert.path, video_id)).words


def read_expert_lines(path: Path) -> dict[str, list[Word]]:
    """Return the words of each video in a file with one JSON object a line, in time order.

    A line has ``video_id`` and one of ``text``, ``triples`` (lists of subject, predicate and
    object) or ``tags`` (a list of texts), which may be empty; entries of a list are written behind
    each other with commas. ``start`` and ``end``, in seconds, are both there or neither. The words
    of a line share its time evenly.

    Raises:
        DataError: with every problem, each naming file and line.
    """
    problems: list[str] = []
    if path.suffix != ".jsonl":
        what = "is neither a .jsonl file nor a folder of transcripts"
        problems.append(f"{path}: {what if path.exists() else 'does not exist'}")
        refuse(problems)
    said: dict[str, list[Word]] = {}
    for record in read_json_lines(path, problems):
        for key in record.content:
            if key not in _KEYS:
                record.problem(f"{key!r} is no key of a line{did_you_mean(key, _KEYS)}")
        said.setdefault(record.video("video_id"), []).extend(_words_of(record))
    if not said and not problems:
        problems.append(f"{path}: holds no line")
    refuse(problems)
    return {
        video_id: sorted(words, key=lambda word: word.start) for video_id, words in said.items()
    }


def _words_of(record: Record) -> list[Word]:
    text, times = _text(record), [key for key in ("start", "end") if key in record.content]
    if not times:
        return [Word(word, 0.0, math.inf) for word in text.split()]
    if len(times) == 1:
        record.problem(f"has {times[0]}, but not both start and end")
        return []
    start, end = record.span((record.value("start"), record.value("end")), "start and end")
    return shared_words(text, start, end)


def _text(record: Record) -> str:
    there = [key for key in _SAID if key in record.content]
    if len(there) != 1:
        record.problem(f"needs one of {', '.join(_SAID)}, but has {', '.join(there) or 'none'}")
        return ""
    value = record.value(there[0])
    if there[0] == "text":
        if value is not None and not isinstance(value, str):
            record.problem("text is no text")
        return clean(value) if isinstance(value, str) else ""
    if there[0] == "tags":
        entries = record.texts("tags")
    else:
        entries = [
            _triple(record, number, v) for number, v in enumerate(record.listed("triples"), 1)
        ]
    return " ".join(f"{entry}," for entry in entries)


def _triple(record: Record, number: int, value: Any) -> str:
    if isinstance(value, list) and len(value) == 3 and all(isinstance(v, str) for v in value):
        return clean(" ".join(value))
    record.problem(f"triples {number} is not [subject, predicate, object], but {value!r}")
    return ""
