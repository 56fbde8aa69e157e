"""The caption file of one's own data: a CSV with the header ``video,caption[,start,end][,split]``.

A file that ends in ``.jsonl`` has a JSON mapping with these keys a line instead. ``video`` is a
file name relative to the folder of videos and becomes the video id; ``start`` and ``end`` are
seconds. An empty cell, or a key that is absent or null, means the start or the end of the video.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmvt.errors import DataError, did_you_mean, nearest
from mmvt.ids import check_id
from mmvt.processors.annotations import clean, read_json_lines, read_text, refuse

SPLITS = ("train", "valid", "test")
_REQUIRED = ("video", "caption")
_OPTIONAL = ("start", "end", "split")


@dataclass(frozen=True, slots=True)
class Caption:
    """One row of a caption file.

    Attributes:
        video_id: id of the video, in Unicode normal form C.
        text: the caption, with single spaces for any white space.
        start: seconds from the start of the video.
        end: seconds; ``inf`` = until the end of the video.
        split: ``train``, ``valid`` or ``test``; None where the file has no such column.
        line: line of the file on which the row starts, from 1.
    """

    video_id: str
    text: str
    start: float
    end: float
    split: str | None
    line: int


def read_captions(path: Path) -> dict[str, list[Caption]]:
    """Return the captions of every video in time order; videos are in the order of the file.

    Raises:
        DataError: naming file and line of all that is wrong with the file.
    """
    problems: list[str] = []
    rows = _json_rows if path.suffix == ".jsonl" else _rows
    captions = []
    for line, cells in rows(path, problems):
        found, caption = _parsed(cells, line)
        problems += [f"{path}:{line}: {problem}" for problem in found]
        captions.append(caption)
    problems += _twins(path, captions)
    problems += _leaks(path, captions)
    if not captions and not problems:
        problems.append(f"{path}: holds no caption")
    refuse(problems)
    videos: dict[str, list[Caption]] = defaultdict(list)
    for caption in captions:
        videos[caption.video_id].append(caption)
    return {video: sorted(rows, key=lambda row: row.start) for video, rows in videos.items()}


def text_ids(videos: Mapping[str, list[Caption]]) -> dict[str, list[Caption]]:
    """Return the captions behind every text id of a caption file.

    All captions of a video have the id of the video; the k-th in time, from 1, has ``video#k``.

    Raises:
        DataError: two text ids are the same, because a video is named like a caption of another.
    """
    captions = dict(videos)
    for video, rows in videos.items():
        for number, row in enumerate(rows, start=1):
            text_id = caption_id(video, number)
            if text_id in videos:
                raise DataError(
                    f"the video {text_id!r} has the name of caption {number} of the video "
                    f"{video!r}; rename one of them"
                )
            captions[text_id] = [row]
    return captions


def caption_id(video_id: str, number: int) -> str:
    """Return the text id of a video's caption ``number`` in time order, from 1."""
    return f"{video_id}#{number}"


def _rows(path: Path, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, cells by column) of the rows that have all that is needed."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    columns: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            where, line = line, reader.line_num + 1
            if columns is None:
                columns = [cell.strip() for cell in cells]
                problems += _column_problems(f"{path}:1", columns)
            elif len(cells) not in (0, len(columns)):
                problems.append(f"{path}:{where}: {len(cells)} cells, but {len(columns)} columns")
            elif cells and set(_REQUIRED) <= set(columns):
                yield where, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        problems.append(f"{path}:{line}: not valid CSV: {error}")


def _json_rows(path: Path, problems: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for record in read_json_lines(path, problems):
        found = list(_column_problems(record.where, list(record.content)))
        cells = {}
        for key in (*_REQUIRED, *_OPTIONAL):
            value = record.content.get(key)
            number = key in ("start", "end") and type(value) in (int, float)
            if not (number or value is None or isinstance(value, str)):
                found.append(f"{record.where}: {key} {value!r} is no {_kind(key)}")
            elif value is not None:
                cells[key] = str(value)
        problems += found
        if not found:
            # what is null is as empty as a cell
            yield int(record.where.rpartition(":")[2]), dict.fromkeys(_REQUIRED, "") | cells


def _kind(key: str) -> str:
    return "time in seconds" if key in ("start", "end") else "text"


def _column_problems(where: str, columns: list[str]) -> Iterator[str]:
    unknown = [column for column in columns if column not in (*_REQUIRED, *_OPTIONAL)]
    for column in _REQUIRED:
        if column not in columns:
            near = nearest(column, unknown)
            hint = f"is it {near}?" if near else f"found {', '.join(columns)}"
            yield f"{where}: no column {column!r}; {hint}"
    absent = [column for column in _OPTIONAL if column not in columns]
    for column in unknown:
        # other columns are the user's own, but a misspelt one would be lost without a word
        if hint := did_you_mean(column, absent):
            yield f"{where}: unknown column {column!r}{hint}"
    for column in sorted({column for column in columns if columns.count(column) > 1}):
        yield f"{where}: column {column!r} is there twice"


def _parsed(row: Mapping[str, str], line: int) -> tuple[list[str], Caption]:
    problems: list[str] = []
    video = row["video"].strip()
    try:
        video = check_id(video)
    except DataError as error:
        problems.append(str(error))
    text = clean(row["caption"])
    if not text:
        problems.append("the caption is empty")
    start = _seconds(row, "start", 0.0, problems)
    end = _seconds(row, "end", math.inf, problems)
    if end <= start:
        problems.append(f"end {end:g} is not after start {start:g}")
    split = row.get("split")
    if split is not None and (split := split.strip()) not in SPLITS:
        hint = did_you_mean(split, SPLITS) or f"; known are {', '.join(SPLITS)}"
        problems.append(f"no split {split!r}{hint}")
    return problems, Caption(video, text, start, end, split, line)


def _seconds(row: Mapping[str, str], column: str, default: float, problems: list[str]) -> float:
    cell = row.get(column, "").strip()
    if not cell:
        return default
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if seconds >= 0 and (column == "end" or seconds < math.inf):
        return seconds
    problems.append(f"{column} {cell!r} is no time in seconds")
    return default


def _twins(path: Path, captions: Iterable[Caption]) -> Iterator[str]:
    first: dict[tuple[str, str, float, float], int] = {}
    for row in captions:
        line = first.setdefault((row.video_id, row.text, row.start, row.end), row.line)
        if line != row.line:
            yield f"{path}:{row.line}: the same row as line {line}"


def _leaks(path: Path, captions: Iterable[Caption]) -> Iterator[str]:
    first: dict[str, Caption] = {}
    for row in captions:
        other = first.setdefault(row.video_id, row)
        if other.split != row.split:
            yield (
                f"{path}:{row.line}: video {row.video_id!r} is in the split {row.split!r}, "
                f"but in {other.split!r} on line {other.line}"
            )
