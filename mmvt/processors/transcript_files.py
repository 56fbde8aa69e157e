"""Reads word-timed transcripts: JSON of Whisper and faster-whisper, SubRip (srt), WebVTT (vtt).

Where words have no times of their own they share those of their cue evenly.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mmvt.errors import DataError
from mmvt.processors.annotations import Record, clean, read_json, read_text, refuse
from mmvt.processors.transcript import Transcript, Word

logger = logging.getLogger(__name__)

FORMS = (".json", ".srt", ".vtt")
_TOUCHING_SECONDS = 0.01
_ARROW = "-->"
_TIME = re.compile(r"(?:(\d{1,4}):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,3}))?")
_TIME_INSIDE = re.compile(r"<((?:\d+:)?\d+:\d+[.,]\d+)>")
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|\{\\[^{}]*\}")
_NOT_CUES = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")


def read_transcript(path: Path) -> Transcript:
    """Return the words of a transcript file.

    Cues that overlap, as of two people who speak at once, are reported as a warning; they are kept,
    in the order of their beginnings.

    Args:
        path: a file that ends in one of :data:`FORMS`. JSON holds ``words``, or ``segments`` that
            may have ``words``, or is a list of such segments; numbers may be texts. A vtt may have
            times inside of its cues; lines that such a file shows again are said once.

    Raises:
        DataError: naming file and line, or segment and word, of all that is wrong with the file:
            times that are negative, infinite or NaN, ends before beginnings, what is no UTF-8, and
            whatever would be lost.
    """
    problems: list[str] = []
    form = path.suffix.lower()
    said = _Said([])
    if form == ".json":
        said = _of_json(path, problems)
    elif form in FORMS:
        said = _Said(list(_of_subtitles(path, form, problems)))
    else:
        problems.append(f"{path}: is no transcript ({', '.join(FORMS)})")
    refuse(problems)
    cues = sorted((cue for cue in said.cues if cue.words), key=lambda cue: cue.words[0].start)
    _report_overlaps(path, cues)
    return Transcript(
        tuple(word for cue in cues for word in cue.words), said.language, said.left_out
    )


class _Cue(NamedTuple):
    """Words that belong together, and where in a file they are."""

    where: str
    words: list[Word]


@dataclass(frozen=True)
class _Said:
    """What a file holds, in its own order."""

    cues: Sequence[_Cue]
    language: str | None = None
    left_out: int = 0


def _of_json(path: Path, problems: list[str]) -> _Said:
    content = read_json(path)
    if isinstance(content, list):
        content = {"segments": content}
    if not isinstance(content, dict):
        problems.append(f"{path}: is no transcript, but {type(content).__name__}")
        return _Said([])
    whole = Record(str(path), content, problems)
    if whole.content.get("words") is not None:
        cues = [_Cue(word.where, _word(word)) for word in _entries(whole, "words", "word")]
    else:
        cues = [
            _Cue(segment.where, _words_of(segment))
            for segment in _entries(whole, "segments", "segment")
        ]
    language = whole.text("language") if whole.content.get("language") is not None else None
    left_out = whole.whole("left_out") if "left_out" in whole.content else 0
    return _Said(cues, language, left_out)


def _entries(record: Record, key: str, noun: str) -> list[Record]:
    """Return the records in a list, called by their numbers from 1."""
    values = enumerate(record.listed(key), start=1)
    return [record.entry(value, f"{noun} {number}") for number, value in values]


def _words_of(segment: Record) -> list[Word]:
    if segment.content.get("words"):
        return [word for entry in _entries(segment, "words", "word") for word in _word(entry)]
    times = _times(segment)
    text = segment.value("text")
    if isinstance(text, str):
        return shared_words(clean(text), *times)
    segment.problem("text is no text")
    return []


def _word(entry: Record) -> list[Word]:
    text = entry.text("word")
    sure = entry.number("probability") if entry.content.get("probability") is not None else None
    return [Word(text, *_times(entry), sure)]


def _times(record: Record) -> tuple[float, float]:
    before = len(record.problems)
    start, end = record.number("start"), record.number("end")
    if end < start and len(record.problems) == before:
        record.problem(f"ends at {end:g} s, before it begins at {start:g} s")
    return start, end


def _of_subtitles(path: Path, form: str, problems: list[str]) -> Iterator[_Cue]:
    """Yield the cues of an srt or vtt file."""
    text = read_text(path)
    is_timed_inside = form == ".vtt" and _TIME_INSIDE.search(text) is not None
    before: list[str] = []
    again = 0
    for number, lines in _blocks(text, form):
        if form == ".vtt" and _is_no_cue(path, number, lines, problems):
            continue
        place = _place_of_times(path, number, lines, form, problems)
        if place is None:
            continue
        where = f"{path}:{number + place}"
        times = _parsed_times(lines[place], where, problems)
        spoken = lines[place + 1 :]
        if is_timed_inside:
            shown = [clean(_plain(_TIME_INSIDE.sub("", line), form)) for line in spoken]
            spoken = [
                line
                for line, plain in zip(spoken, shown, strict=True)
                if not plain or plain not in before or _TIME_INSIDE.search(line)
            ]
            again += len(shown) - len(spoken)
            before = shown
        if times is not None:
            yield _Cue(where, _words_inside("\n".join(spoken), times, where, form, problems))
    if again:
        logger.info("%s: shows %d lines again; they are said once", path, again)


def _blocks(text: str, form: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the first line, lines) of what blank lines separate."""
    block: list[str] = []
    lines = re.split(r"\r\n|\r|\n", text)
    for number, line in enumerate([*lines, ""], start=1):
        # a cue of a vtt may have lines of white space, as those of rolling captions do
        if line.strip() if form == ".srt" else line:
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _is_no_cue(path: Path, number: int, lines: list[str], problems: list[str]) -> bool:
    """Return whether a block of a vtt is its header, a comment or a style."""
    if number == 1 and not lines[0].startswith("WEBVTT"):
        problems.append(f"{path}:1: does not begin with WEBVTT")
    is_header = number == 1 and lines[0].startswith("WEBVTT")
    return (is_header or _NOT_CUES.match(lines[0]) is not None) and not any(
        _ARROW in line for line in lines
    )


def _place_of_times(
    path: Path, number: int, lines: list[str], form: str, problems: list[str]
) -> int | None:
    """Return which line of a cue has its times; None where the block is no cue."""
    places = [place for place, line in enumerate(lines) if _ARROW in line]
    if not places:
        problems.append(f"{path}:{number}: {lines[0][:40]!r} belongs to no cue (start --> end)")
        return None
    if places[0] > 1 or (places[0] == 1 and form == ".srt" and not lines[0].strip().isdecimal()):
        problems.append(f"{path}:{number}: {lines[0][:40]!r} is no number of a cue")
    for place in places[1:]:
        problems.append(f"{path}:{number + place}: a cue begins without a blank line before it")
    return places[0]


def _parsed_times(line: str, where: str, problems: list[str]) -> tuple[float, float] | None:
    left, _, right = line.partition(_ARROW)
    # settings may follow
    texts = [left.strip(), (right.split() or [""])[0]]
    times = [_seconds(text) for text in texts]
    for text, time in zip(texts, times, strict=True):
        if time is None:
            problems.append(f"{where}: {text!r} is no time such as 00:00:01.500")
    start, end = times
    if start is None or end is None:
        return None
    if end < start:
        problems.append(f"{where}: ends at {end:g} s, before it begins at {start:g} s")
        return None
    return start, end


def _seconds(text: str) -> float | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups(default="0")
    whole = 3600 * int(hours) + 60 * int(minutes) + int(seconds)
    return whole + int(fraction.ljust(3, "0")) / 1000


def _words_inside(
    text: str, times: tuple[float, float], where: str, form: str, problems: list[str]
) -> list[Word]:
    """Return the words of a cue, between the times that stand among them."""
    pieces = _TIME_INSIDE.split(text) if form == ".vtt" else [text]
    start, end = times
    borders: list[float] = [start]
    for inner in pieces[1::2]:
        time = _seconds(inner)
        if time is None or not borders[-1] <= time <= end:
            problems.append(f"{where}: the time {inner} inside of the cue is not between its times")
            return []
        borders.append(time)
    borders.append(end)
    return [
        word
        for number, piece in enumerate(pieces[::2])
        for word in shared_words(_plain(piece, form), borders[number], borders[number + 1])
    ]


def _plain(text: str, form: str) -> str:
    """Return text without markup."""
    plain = _MARKUP.sub("", text)
    return html.unescape(plain) if form == ".vtt" else plain


def shared_words(text: str, start: float, end: float) -> list[Word]:
    """Return the words of a text, which share its time evenly."""
    words = clean(text).split()
    step = (end - start) / max(1, len(words))
    # the last one ends exactly where the text does
    borders = [start + number * step for number in range(len(words))] + [end]
    return [Word(text, borders[i], borders[i + 1]) for i, text in enumerate(words)]


def _report_overlaps(path: Path, cues: Sequence[_Cue]) -> None:
    """Log how many words begin while another is being said, and where the first is."""
    end, places = 0.0, []
    for cue in cues:
        for word in cue.words:
            if word.start < end - _TOUCHING_SECONDS:
                places.append(cue.where)
            end = max(end, word.end)
    if places:
        logger.warning(
            "%s: %d words begin before another has ended; the first: %s",
            path,
            len(places),
            places[0],
        )


def find_transcript(folder: Path, video_id: str) -> Path:
    """Return the transcript of a video: ``FOLDER/ID.json``, or without the extension of the id.

    Raises:
        DataError: there is none, or there are several.
    """
    there = transcripts_of(folder, video_id)
    if len(there) > 1:
        raise DataError(
            f"the video {video_id!r} has several transcripts: {', '.join(map(str, there))}"
        )
    if there:
        return there[0]
    forms = ", ".join(FORMS)
    raise DataError(f"{folder} has no transcript of the video {video_id!r} ({forms})")


def transcripts_of(folder: Path, video_id: str) -> list[Path]:
    """Return the transcripts of a video, by its id, else by its id without extension."""
    for name in names_of(video_id):
        if there := [path for form in FORMS if (path := folder / f"{name}{form}").is_file()]:
            return there
    return []


def names_of(video_id: str) -> list[str]:
    """Return what may be said of a video under: its id, and its id without extension."""
    named = PurePosixPath(video_id)
    return list(dict.fromkeys([video_id, str(named.parent / named.stem)]))
