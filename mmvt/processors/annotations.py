"""Annotation files of data sets: read in whole, with all that is wrong with a file told at once."""

from __future__ import annotations

import csv
import io
import json
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvt.errors import DataError, did_you_mean
from mmvt.ids import check_id

MOST_PROBLEMS = 50


@dataclass(frozen=True)
class Record:
    """One record of an annotation file: a row, a line, or an entry of a JSON.

    What is asked for and is not there becomes a problem; a stand-in is returned, so that the rest
    of the file can be read as well. :func:`refuse` ends the reading of a file with problems.

    Attributes:
        where: file, and line or key.
        content: values by key.
        problems: where problems are noted.
    """

    where: str
    content: Mapping[str, Any]
    problems: list[str]

    def problem(self, what: str) -> None:
        """Note what is wrong."""
        self.problems.append(f"{self.where}: {what}")

    def value(self, key: str) -> Any:
        """Return the value of a key; None if it is absent or null, which is a problem."""
        value = self.content.get(key)
        if value is None:
            near = did_you_mean(key, self.content.keys() - {key}, quote="'")
            self.problem(f"no {key!r}{near}")
        return value

    def text(self, key: str) -> str:
        """Return a text with single spaces, in Unicode's composed form."""
        return self._text(key, self.value(key))

    def texts(self, key: str) -> list[str]:
        """Return a list of texts."""
        return [
            self._text(f"{key} {n}", value) for n, value in enumerate(self.listed(key), start=1)
        ]

    def video(self, key: str) -> str:
        """Return the id of a video; see :func:`video_id`."""
        name = self._text(key, self.value(key))
        return self.as_video(name) if name else ""

    def as_video(self, name: str) -> str:
        """Return the id of the video that is called ``name``; see :func:`video_id`."""
        try:
            return check_id(name.strip())
        except DataError as error:
            self.problem(str(error))
        return ""

    def whole(self, key: str) -> int:
        """Return a whole number, given as such or as text."""
        value = self.value(key)
        if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
            return int(value)
        if type(value) is not int and value is not None:
            self.problem(f"{key} {value!r} is no whole number")
        return value if type(value) is int else 0

    def number(self, key: str) -> float:
        """Return a finite number that is not negative, given as such or as text."""
        value = self.value(key)
        number = _number(value)
        if value is not None and number is None:
            self.problem(f"{key} {value!r} is no number of at least 0")
        return number or 0.0

    def listed(self, key: str) -> list[Any]:
        """Return a list."""
        value = self.value(key)
        if isinstance(value, list):
            return value
        if value is not None:
            self.problem(f"{key} is no list")
        return []

    def spans(self, key: str) -> list[tuple[float, float]]:
        """Return a list of (start, end) in seconds."""
        return [self.span(value, f"{key} {n}") for n, value in enumerate(self.listed(key), start=1)]

    def span(self, value: Any, name: str) -> tuple[float, float]:
        """Return a pair of times in seconds as (start, end)."""
        times = [_number(time) for time in value] if isinstance(value, (list, tuple)) else []
        if len(times) != 2 or times[0] is None or times[1] is None or times[1] < times[0]:
            self.problem(f"{name} {value!r} is no time from start to end in seconds")
            return 0.0, 0.0
        return times[0], times[1]

    def entry(self, value: Any, name: str) -> Record:
        """Return a record inside this one."""
        where = f"{self.where}: {name}"
        if isinstance(value, Mapping):
            return Record(where, value, self.problems)
        self.problems.append(f"{where}: is no mapping of keys and values")
        return Record(where, defaultdict(lambda: None), [])

    def _text(self, name: str, value: Any) -> str:
        if value is None:
            return ""
        text = clean(value) if isinstance(value, str) else ""
        if not text:
            self.problem(f"{name} is {'empty' if isinstance(value, str) else 'no text'}")
        return text


def refuse(problems: Sequence[str]) -> None:
    """Raise if there are problems.

    Raises:
        DataError: a line each, the first :data:`MOST_PROBLEMS` of them.
    """
    if problems:
        left = len(problems) - MOST_PROBLEMS
        more = [f"... and {left} more problems"] if left > 0 else []
        raise DataError("\n".join([*problems[:MOST_PROBLEMS], *more]))


def clean(text: str) -> str:
    """Return text in Unicode's composed form, with single spaces for any white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        DataError: it cannot be read, or a line of it is not UTF-8.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        refuse(list(_bytes_astray(path, raw)))
        raise


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        DataError: it cannot be read, is no JSON, or holds a key twice.
    """
    return _parsed(read_text(path), str(path))


def read_mapping(path: Path, problems: list[str]) -> Record:
    """Return the mapping that a JSON file holds, as a record.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: is no mapping of keys and values")
    return Record(str(path), value, problems)


def read_records(path: Path, noun: str, problems: list[str]) -> list[Record]:
    """Return the records of a JSON file that holds a list of them.

    Args:
        path: the file.
        noun: what a record is called; they are numbered from 0.
        problems: where problems are noted.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    values = read_json(path)
    if not isinstance(values, list):
        raise DataError(f"{path}: is no list")
    whole = Record(str(path), {}, problems)
    return [whole.entry(value, f"{noun} {number}") for number, value in enumerate(values)]


def read_json_lines(path: Path, problems: list[str]) -> list[Record]:
    """Return the records of a file with one JSON mapping a line.

    Raises:
        DataError: it cannot be read.
    """
    records = []
    for where, line in read_lines(path):
        try:
            value = _parsed(line, where)
        except DataError as error:
            problems.append(str(error))
            continue
        if isinstance(value, dict):
            records.append(Record(where, value, problems))
        else:
            problems.append(f"{where}: is no mapping of keys and values")
    return records


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Return (file and line, text) of the lines of a file that are not blank.

    Raises:
        DataError: it cannot be read.
    """
    # str.splitlines would also end a line inside a JSON text
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [(f"{path}:{number}", line.strip()) for number, line in lines if line.strip()]


def read_table(
    path: Path, columns: Iterable[str], problems: list[str], delimiter: str = ","
) -> list[Record]:
    """Return the rows of a table with a header; there may be more columns than these.

    Raises:
        DataError: it cannot be read.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
    header: list[str] | None = None
    records, where = [], f"{path}:1"
    try:
        for cells in reader:
            if header is None:
                header = [cell.strip() for cell in cells]
                for column in columns:
                    if column not in header:
                        hint = did_you_mean(column, header) or f"; found {', '.join(header)}"
                        problems.append(f"{where}: no column {column!r}{hint}")
            elif cells and len(cells) != len(header):
                problems.append(f"{where}: {len(cells)} cells, but {len(header)} columns")
            elif cells and set(columns) <= set(header):
                records.append(Record(where, dict(zip(header, cells, strict=True)), problems))
            where = f"{path}:{reader.line_num + 1}"
    except csv.Error as error:
        problems.append(f"{where}: not valid CSV: {error}")
    return records


def check_unique(records: Iterable[tuple[str, Any]], what: str, problems: list[str]) -> None:
    """Note every key that occurs again; what is empty is no key, but a problem already.

    Args:
        records: (where, key) of each record.
        what: what the key is called.
        problems: where problems are noted.
    """
    first: dict[Any, str] = {}
    for where, key in records:
        if key and first.setdefault(key, where) != where:
            problems.append(f"{where}: the same {what} {key!r} as {first[key]}")


def _bytes_astray(path: Path, raw: bytes) -> Iterator[str]:
    for number, line in enumerate(raw.split(b"\n"), start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            yield f"{path}:{number}: byte {error.start + 1} is not UTF-8"


def _number(value: Any) -> float | None:
    """Return a value as a number, or None if it is none, negative, infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        raise DataError(f"{next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return mapping
