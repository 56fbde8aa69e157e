"""Segments in the files that VPT wrote before it took to Deeplake: jsonl, and an npz a video.

A line of ``…_whisper_output.jsonl`` is JSON of a text that is JSON of the list of segments of a
video. ``VIDEO.npz`` has an array ``arr_N`` a segment, which holds a dict and so is a pickle: it is
read without running anything. What was written anew without objects is read as well: plain lines of
JSON, and an npz with the columns of Deeplake, a row a segment.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from typing_extensions import override

from mmvt.datasets.original_shards import load_plain_pickle
from mmvt.errors import StoreError
from mmvt.features.convert.npy import files_below
from mmvt.features.convert.pickles import ObjectUnpickler, object_in
from mmvt.features.convert.vpt.arrays import STORES
from mmvt.features.convert.vpt.segment import MOST_DIGITS, NAMES, SegmentSource, renamed
from mmvt.features.find import Failure

# what a damaged archive may raise: unknown and wrong compression, passwords, names that are gone
_DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,  # and NotImplementedError
    zlib.error,
    zipfile.BadZipFile,
)
# of jsonl files that hold no segments
_OTHERS = ("_errors.jsonl", "_empty.jsonl", "_stems.jsonl", "failures.jsonl", "_scene_output.jsonl")


class SegmentFiles(SegmentSource):
    """The segments of a folder of npz and jsonl files.

    A segment of a jsonl is joined with that of the npz that is named after the video, by number.

    Args:
        folder: is searched with its subfolders; what begins with a dot is left out.

    Raises:
        StoreError: there is no npz file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names, refused = files_below(folder, ".npz")
        self.refused: list[Failure] = refused
        self._lines = lru_cache(maxsize=1)(_segments_at)
        self._objects = lru_cache(maxsize=1)(_object)
        self._columns = lru_cache(maxsize=1)(_Columns)
        said = self._said()
        self._places: list[_Place] = []
        taken: dict[str, str] = {}
        for name in names:
            stem = PurePath(name).name.removesuffix(".npz")
            try:
                if stem in taken:
                    raise StoreError(f"is named after the same video as {taken[stem]}")
                archive = _Archive.of(folder / name)
            except StoreError as error:
                self.refused.append(Failure(stem, name, str(error)))
                continue
            taken[stem] = name
            lines = said.pop(stem, {})
            self._places += [
                _Place(name, archive, row, lines.pop(row, None)) for row in range(archive.rows)
            ]
            self._places += [_Place(None, None, row, line) for row, line in lines.items()]
        for lines in said.values():
            self._places += [_Place(None, None, row, line) for row, line in lines.items()]

    @override
    def __len__(self) -> int:
        return len(self._places)

    @override
    def where(self, number: int) -> str:
        place = self._places[number]
        if place.archive is None:
            assert place.line is not None
            return f"{place.line.name}:{place.line.number}: segment {place.line.position + 1}"
        what = f"arr_{place.row}" if place.archive.is_objects else f"row {place.row}"
        return f"{place.name}: {what}"

    @override
    def fields(self, number: int) -> Mapping[str, Any]:
        place = self._places[number]
        plain = self._cells(place, _is_field)
        if place.line is None:
            return plain
        said = self._segments(place.line)[place.line.position]
        return {**plain, **renamed(plain), **said, **renamed(said)}

    @override
    def arrays(self, number: int) -> Mapping[str, Any]:
        place = self._places[number]
        if place.archive is None:
            raise StoreError("there is no npz of this segment")
        return self._cells(place, lambda name: name in STORES or name == "timestamp")

    def _cells(self, place: _Place, is_asked: Callable[[str], bool]) -> dict[str, Any]:
        if place.archive is None:
            return {}
        if place.archive.is_objects:
            found = self._objects(place.archive.path, f"arr_{place.row}")
            return {name: value for name, value in found.items() if is_asked(name)}
        columns = self._columns(place.archive.path)
        names = filter(is_asked, place.archive.names)
        return {name: columns[name][place.row] for name in names}

    def _segments(self, line: _Line) -> list[Any]:
        return self._lines(self.folder / line.name, line.offset)

    def _said(self) -> dict[str, dict[int, _Line]]:
        """Return where the segments of each video are in jsonl files, by number of segment."""
        said: dict[str, dict[int, _Line]] = defaultdict(dict)
        for path in sorted(self.folder.rglob("*.jsonl")):
            if path.name.endswith(_OTHERS):
                continue
            name = path.relative_to(self.folder).as_posix()
            for number, offset in _line_starts(path):
                try:
                    segments = self._lines(path, offset)
                except StoreError as error:
                    self.refused.append(Failure("", f"{name}:{number}", str(error)))
                    continue
                for position, segment in enumerate(segments):
                    self._place_line(said, _Line(name, number, offset, position), segment)
        return said

    def _place_line(self, said: dict[str, dict[int, _Line]], line: _Line, segment: Any) -> None:
        where = f"{line.name}:{line.number}: segment {line.position + 1}"
        if not isinstance(segment, dict):
            self.refused.append(Failure("", where, "is no mapping of keys and values"))
            return
        lines = said[_stem(segment)]
        row = _index(segment, len(lines))
        if row in lines:
            reason = f"is segment {row} of its video, as in {lines[row].name}:{lines[row].number}"
            self.refused.append(Failure("", where, reason))
        else:
            lines[row] = line


class _Line(NamedTuple):
    """Where a segment is in a jsonl file."""

    name: str
    number: int
    offset: int
    position: int


class _Archive(NamedTuple):
    """What an npz is: an object a segment, or columns with a row a segment."""

    path: Path
    rows: int
    is_objects: bool
    names: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> _Archive:
        shapes = _shapes(path)
        if all(dtype.hasobject for _, dtype in shapes.values()):
            if astray := shapes.keys() - {f"arr_{row}" for row in range(len(shapes))}:
                raise StoreError(f"{path}: {min(astray)} is none of arr_0, arr_1, …")
            return cls(path, len(shapes), True, ())
        if names := [name for name, (_, dtype) in shapes.items() if dtype.hasobject]:
            raise StoreError(f"{path}: unsafe, not read: {names[0]} holds Python objects")
        counts = {name: shape[0] if shape else 1 for name, (shape, _) in shapes.items()}
        if len(set(counts.values())) != 1:
            raise StoreError(f"{path}: its columns have different numbers of rows: {counts}")
        return cls(path, next(iter(counts.values())), False, tuple(shapes))


class _Place(NamedTuple):
    """Where a segment is: a row of an npz, or a line of a jsonl, or both."""

    name: str | None
    archive: _Archive | None
    row: int
    line: _Line | None


def _stem(segment: Mapping[str, Any]) -> str:
    """Return the name that the npz of a segment has, without its extension."""
    for key in ("video_filename_stem", "video_stem"):
        if isinstance(segment.get(key), str):
            return str(segment[key])
    return PurePath(str(renamed(segment).get("video_filename", ""))).stem


def _index(segment: Mapping[str, Any], unless: int) -> int:
    """Return the number of a segment in its video."""
    metadata = segment.get("segment_metadata")
    known = metadata if isinstance(metadata, dict) else {}
    index = str({**known, **segment}.get("segment_index", ""))
    return int(index) if index.isdecimal() and len(index) <= MOST_DIGITS else unless


def _line_starts(path: Path) -> Iterator[tuple[int, int]]:
    """Yield (number, offset) of the lines of a file that are not blank."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, offset
            offset += len(line)


def _segments_at(path: Path, offset: int) -> list[Any]:
    with path.open("rb") as file:
        file.seek(offset)
        try:
            content = json.loads(file.readline().decode())
            if isinstance(content, str):
                content = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise StoreError(f"is no JSON: {error}") from error
    return content if isinstance(content, list) else [content]


def _shapes(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return (shape, type) of the arrays of an npz, of which only the headers are read.

    Raises:
        StoreError: it is damaged, or holds none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            found = {}
            for name in names:
                with _opened(archive, name) as file:
                    found[name.removesuffix(".npy")] = _header(file)
    except _DAMAGED as error:
        raise StoreError(f"{path}: is damaged: {error}") from error
    if not found:
        raise StoreError(f"{path}: holds no array")
    return found


def _opened(archive: zipfile.ZipFile, name: str) -> io.BufferedIOBase:
    return cast(io.BufferedIOBase, archive.open(name))


def _header(file: io.BufferedIOBase) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = read_magic(file)
    read = read_array_header_1_0 if version == (1, 0) else read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _object(path: Path, name: str) -> dict[str, Any]:
    """Return the dict that an array of an npz holds.

    Raises:
        StoreError: it is damaged, unsafe, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive, _opened(archive, f"{name}.npy") as file:
            _header(file)
            return object_in(load_plain_pickle(file, name, ObjectUnpickler))
    except _DAMAGED as error:
        raise StoreError(f"is damaged: {error}") from error


class _Columns(dict[str, np.ndarray]):
    """The columns of an npz, each read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def __missing__(self, name: str) -> np.ndarray:
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                self[name] = np.atleast_1d(archive[name])
        except _DAMAGED as error:
            raise StoreError(f"{name} is damaged: {error}") from error
        return self[name]


def _is_field(name: str) -> bool:
    """Return whether a name is of something that stands beside the arrays."""
    known = (alias for aliases in NAMES.values() for alias in aliases)
    return name in (*known, "segment_metadata") or name.startswith("done")
