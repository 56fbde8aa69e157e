"""What text experts say of videos: speech, text in the picture, scene graphs, tags, as words.

They become words of the prompt of a model that writes, a label before those of each expert; see
:class:`~mmvt.processors.prompts.PromptLayout`.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from mmvt.errors import ConfigError, DataError, did_you_mean
from mmvt.processors.annotations import Record, clean, read_json_lines, refuse
from mmvt.processors.splits import named
from mmvt.processors.transcript import Word
from mmvt.processors.transcript_files import (
    find_transcript,
    read_transcript,
    shared_words,
    transcripts_of,
)

logger = logging.getLogger(__name__)

Rule = Literal["first", "middle", "refuse"]
_SAID = ("text", "triples", "tags")
_KEYS = ("video_id", "start", "end", *_SAID)


@dataclass(frozen=True, kw_only=True)
class TextExpert:
    """Where the words of an expert are, and how many of them a prompt takes.

    Attributes:
        name: its name.
        path: a file of lines (see :func:`read_expert_lines`), or a folder of transcripts.
        label: what stands before its words.
        max_tokens: most tokens of it in a prompt, those of the label included.
        rule: which words stay where not all fit: the ``first`` of a clip, or those nearest to its
            ``middle``, of equally near ones the first; or ``refuse``.
    """

    name: str
    path: Path
    label: str
    max_tokens: int = 32
    rule: Rule = "first"


class Fitted(NamedTuple):
    """The tokens of an expert in a prompt, and of how many words they are."""

    tokens: list[int]
    kept: int
    words: int


class ExpertWords(NamedTuple):
    """What an expert says of a video.

    Attributes:
        expert: the expert.
        words: in time order, in seconds; those without times last from 0 to infinity.
        fps: steps of the video's features a second; 0 = they have no steady rate.
    """

    expert: TextExpert
    words: Sequence[Word]
    fps: float

    def fitted(self, steps: slice, tokens: Callable[[str], list[int]]) -> Fitted:
        """Return what is said within a clip, as far as there is room for it.

        Args:
            steps: the clip. Without a steady rate all words are within it.
            tokens: returns the tokens of a text.

        Raises:
            DataError: there is no room for all, and the rule is to refuse, or not even the label
                fits.
        """
        expert, clip = self.expert, self._seconds(steps)
        words = [word for word in self.words if _is_within(word, clip)]
        nearest = list(range(len(words)))
        if expert.rule == "middle":
            nearest.sort(key=lambda place: abs(_middle(words[place], clip) - sum(clip) / 2))

        def tokens_of(count: int) -> list[int]:
            said = " ".join(words[place].text for place in sorted(nearest[:count])).rstrip(",")
            return tokens(f"{expert.label} {said}".strip())

        kept = len(words)
        if kept and len(tokens_of(kept)) > expert.max_tokens:
            sizes = range(kept)
            kept = bisect_right(sizes, expert.max_tokens, key=lambda n: len(tokens_of(n))) - 1
            if kept < 0 or expert.rule == "refuse":
                raise DataError(
                    f"text expert {expert.name} says {len(words)} words, which are "
                    f"{len(tokens_of(len(words)))} tokens with {expert.label!r}, but max_tokens is "
                    f"{expert.max_tokens}"
                )
        return Fitted(tokens_of(kept) if kept else [], kept, len(words))

    def _seconds(self, steps: slice) -> tuple[float, float]:
        if self.fps > 0:
            return steps.start / self.fps, steps.stop / self.fps
        return 0.0, 1.0 + max((word.end for word in self.words if word.end < math.inf), default=0.0)


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

    def __call__(self, video_id: str, fps: float) -> tuple[ExpertWords, ...]:
        """Return what each expert says of a video.

        Args:
            video_id: id of the video.
            fps: steps of its features a second.

        Raises:
            DataError: an expert lacks the video, and may not, or a transcript is wrong.
        """
        return tuple(
            ExpertWords(expert, self._words(expert, video_id), fps) for expert in self.experts
        )

    def _knows(self, expert: TextExpert, video_id: str) -> bool:
        lines = self._lines.get(expert.name)
        return bool(transcripts_of(expert.path, video_id)) if lines is None else video_id in lines

    def _words(self, expert: TextExpert, video_id: str) -> Sequence[Word]:
        if not self._knows(expert, video_id):
            if not self.missing:
                self.check([video_id])
            return ()
        lines = self._lines.get(expert.name)
        if lines is not None:
            return lines[video_id]
        return read_transcript(find_transcript(expert.path, video_id)).words


def text_experts(described: Mapping[str, Any]) -> list[TextExpert]:
    """Return text experts as a YAML describes them.

    Raises:
        ConfigError: with every problem of every expert.
    """
    problems = [p for name, own in described.items() for p in _problems_of(name, own)]
    if problems:
        raise ConfigError(problems)
    return [
        TextExpert(**{"label": f"{name}:"} | own | {"name": name, "path": Path(own["path"])})
        for name, own in described.items()
    ]


def _problems_of(name: str, described: Any) -> Iterator[str]:
    place = f"text_experts.{name}"
    if not isinstance(described, Mapping):
        yield f"{place} must hold path and the like, not {described!r}"
        return
    known = [item.name for item in fields(TextExpert) if item.name != "name"]
    for key in described:
        if key not in known:
            yield f"{place}.{key} is no field of a text expert{did_you_mean(key, known)}"
    if not isinstance(described.get("path"), str | Path):
        yield f"{place}.path must be a .jsonl file or a folder of transcripts"
    if not isinstance(described.get("label", ""), str):
        yield f"{place}.label must be text, not {described['label']!r}"
    tokens, rule = described.get("max_tokens", 1), described.get("rule", "first")
    if type(tokens) is not int or tokens < 1:
        yield f"{place}.max_tokens must be a whole number of at least 1, not {tokens!r}"
    if rule not in get_args(Rule):
        yield f"{place}.rule must be {' or '.join(get_args(Rule))}, not {rule!r}"


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
        problems.append(f"{path}: is neither a .jsonl file nor a folder of transcripts")
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


def _is_within(word: Word, clip: tuple[float, float]) -> bool:
    return word.start < clip[1] and (word.end > clip[0] or word.start == word.end == clip[0])


def _middle(word: Word, clip: tuple[float, float]) -> float:
    return (max(word.start, clip[0]) + min(word.end, clip[1])) / 2
