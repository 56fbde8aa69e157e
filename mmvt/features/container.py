"""Opens media files safely, names what is wrong with them, and measures whether they are whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from mmvt.errors import MediaError

# A stream may end a little before its header says; a file that lost more than this is cut off.
_MISSING_SECONDS = 0.25
_MISSING_SHARE = 0.02

_Part = TypeVar("_Part")


def anew_in_each_process(parts: Callable[[], Iterator[_Part]]) -> Iterator[_Part]:
    """Yield the parts of a file; behind a fork, those that are left, from a file of its own.

    A file that was opened before a fork has one position for all processes.

    Args:
        parts: opens the file.
    """
    given = 0
    while True:
        process = os.getpid()
        for number, part in enumerate(parts()):
            if number < given:
                continue
            yield part
            given += 1
            if os.getpid() != process:
                break
        else:
            return


def open_container(path: Path, formats: str, what: str) -> InputContainer:
    """Return a local regular file, opened; no file or address that it names will be.

    Args:
        path: the file.
        formats: names of FFmpeg's formats that it may have, with commas between.
        what: it should be, such as ``video``.

    Raises:
        MediaError: the file is missing, empty, or has none of the formats.
    """
    _check_regular(path)
    with named_errors(path, what):
        try:
            return av.open(
                f"file:{os.fspath(path)}",
                "r",
                options={"protocol_whitelist": "file", "format_whitelist": formats},
            )
        except av.error.InvalidDataError as error:
            raise MediaError(f"{path}: is no {what}, or lacks its header") from error


@contextmanager
def named_errors(path: Path, what: str) -> Iterator[None]:
    """Turn errors of FFmpeg and of the system into those that name the file."""
    try:
        yield
    except av.error.ArgumentError as error:
        raise MediaError(f"{path}: is no {what} file of a known container") from error
    except (av.error.FFmpegError, OSError, UnicodeError) as error:
        reason = None if isinstance(error, UnicodeError) else error.strerror
        raise MediaError(f"{path}: {reason or error}") from error


class Clock:
    """Measures how far the packets of a file reach, against what its headers say.

    Args:
        path: the file.
        stream: number of the stream that is read.
        said: seconds that the headers say it lasts, None where they do not.

    Attributes:
        stream_end: seconds at which the last packet of the stream ends.
    """

    def __init__(self, path: Path, stream: int, said: float | None) -> None:
        self._path = path
        self._stream = stream
        self._said = said
        self._first: float | None = None
        self._end = 0.0
        self.stream_end = 0.0

    def add(self, packet: Packet[Stream]) -> None:
        """Count a packet."""
        if packet.pts is None or packet.time_base is None:
            return
        start = float(packet.pts * packet.time_base)
        end = start + float((packet.duration or 0) * packet.time_base)
        self._first = start if self._first is None else min(start, self._first)
        self._end = max(self._end, end)
        if packet.stream_index == self._stream:
            self.stream_end = max(self.stream_end, end)

    def check_complete(self) -> None:
        """Raise where packets end well before the said duration.

        Raises:
            MediaError: with both numbers.
        """
        if self._said is None or self._first is None:
            return
        found = self._end - self._first
        if self._said - found > max(_MISSING_SECONDS, _MISSING_SHARE * self._said):
            raise MediaError(f"{self._path}: cut off, {found:.1f} of {self._said:.1f} s are there")


def _check_regular(path: Path) -> None:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise MediaError(f"{path}: {reason}") from error
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{path}: is no regular file")
    if status.st_size == 0:
        raise MediaError(f"{path}: is empty (0 bytes)")
