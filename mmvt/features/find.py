"""Finds the video files that a folder, a glob or a caption file names, and gives them ids."""

from __future__ import annotations

import csv
import glob
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmvt.errors import DataError
from mmvt.ids import check_id

EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("3g2", "3gp", "asf", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg"),
        *("mpg", "mts", "mxf", "ogv", "ts", "webm", "wmv"),
    )
)

SOUND_EXTENSIONS = frozenset(
    f".{name}" for name in ("aac", "aiff", "caf", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav")
)


@dataclass(frozen=True)
class Video:
    """A video file.

    Attributes:
        id: its path relative to the folder of videos, with ``/`` between parts.
        path: where it is.
    """

    id: str
    path: Path


@dataclass(frozen=True)
class Failure:
    """A video of which there are no features.

    Attributes:
        id: its id, or its name where that is none.
        source: its file.
        reason: why.
    """

    id: str
    source: str
    reason: str


@dataclass
class Videos:
    """What was found.

    Attributes:
        videos: files with their ids; sorted, or in the order of a CSV file.
        refused: files whose name cannot be an id.
    """

    videos: list[Video] = field(default_factory=list)
    refused: list[Failure] = field(default_factory=list)


def find_videos(
    where: str | Path, root: Path | None = None, extensions: frozenset[str] = EXTENSIONS
) -> Videos:
    """Return the videos that ``where`` names; no file is opened.

    Args:
        where: a folder (searched with its subfolders, by file extension), a video file, a glob
            such as ``videos/**/*.mp4``, or a CSV file with a column ``video``.
        root: the folder that ids are relative to; by default the folder itself, the part of a glob
            before its first wildcard, or the folder of the CSV file.
        extensions: of the files that are taken out of a folder.

    Raises:
        DataError: nothing is there, or the CSV file has no column ``video``.
    """
    path = Path(where)
    if path.is_dir():
        names, base = sorted(_walk(path, extensions)), path
    elif path.is_file() and path.suffix.lower() == ".csv":
        base = root or path.parent
        return _named(((name, base / name) for name in _csv_names(path)), path)
    elif path.is_file():
        names, base = [path], path.parent
    else:
        # Path.glob takes no absolute pattern
        matches = sorted(glob.glob(str(where), recursive=True))  # noqa: PTH207
        names = [name for name in map(Path, matches) if name.is_file()]
        before = re.split(r"[*?\[]", str(where))[0]
        base = Path(f"{before}x").parent
    return _named(((_relative(name, root or base), name) for name in names), path)


def _walk(folder: Path, extensions: frozenset[str]) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in extensions:
                yield Path(here, name)


def _relative(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _csv_names(path: Path) -> Iterable[str]:
    """Return the names in the column ``video``, each once."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or []]
            if "video" not in columns:
                raise DataError(f"{path} has no column 'video', only {', '.join(columns)}")
            reader.fieldnames = columns
            return dict.fromkeys(row["video"].strip() for row in reader if row["video"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _named(found: Iterable[tuple[str, Path]], where: Path) -> Videos:
    result = Videos()
    taken: dict[str, Path] = {}
    for name, path in found:
        shown = str(path).encode(errors="backslashreplace").decode()
        try:
            video_id = check_id(name)
        except DataError as error:
            result.refused.append(Failure(ascii(name)[1:-1], shown, str(error)))
            continue
        if video_id in taken:
            reason = f"has the same id as {taken[video_id]}"
            result.refused.append(Failure(video_id, shown, reason))
            continue
        taken[video_id] = path
        result.videos.append(Video(video_id, _on_disk(path)))
    if not taken and not result.refused:
        raise DataError(f"there is no video in {where}")
    return result


def _on_disk(path: Path) -> Path:
    """Return the spelling of a path under which the file is there: NFC or NFD."""
    if path.exists():
        return path
    spellings = (Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))
    return next((spelling for spelling in spellings if spelling.exists()), path)
