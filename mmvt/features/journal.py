"""What a shard that is being written holds so far, so that a killed process loses nothing.

A line an item goes to a journal beside the rows, after the rows themselves. Who writes to the store
next reads it back, up to the first item that is not there whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import xxhash


@dataclass(frozen=True)
class Entry:
    """One item.

    Attributes:
        id: its id.
        rows: number of rows.
        times: time of each step in seconds.
        item: id and metadata, as they will stand in the shard.
        sum: xxh3-64 of the bytes of its rows.
    """

    id: str
    rows: int
    times: list[float]
    item: str
    sum: str


class Journal:
    """The journal of one shard.

    Args:
        path: its file.
        options: of the store; a journal of other options is of no use.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self.path = path
        self._first = json.dumps(options, sort_keys=True).encode() + b"\n"
        self._file: IO[bytes]

    def begin(self) -> None:
        """Begin a new journal."""
        self._file = self.path.open("wb", buffering=0)
        self._file.write(self._first)

    def add(self, entry: Entry) -> None:
        """Write down an item; its rows must have reached the operating system before."""
        self._file.write(json.dumps(asdict(entry)).encode() + b"\n")

    def recover(self, data: Path, offset: int, row_bytes: int) -> list[Entry]:
        """Return the items that are there whole, and go on behind them.

        There are none, and nothing is open, where the journal is missing or of something else.

        Args:
            data: the file of rows.
            offset: where its first row begins.
            row_bytes: bytes of a row.
        """
        if not (self.path.is_file() and data.is_file()):
            return []
        length = len(self._first)
        entries = []
        with data.open("rb") as rows:
            rows.seek(offset)
            for entry, size in self._whole(rows, row_bytes):
                entries.append(entry)
                length += size
        if entries:
            self._file = self.path.open("r+b", buffering=0)
            self._file.truncate(length)
            self._file.seek(length)
        return entries

    def _whole(self, rows: IO[bytes], row_bytes: int) -> Iterator[tuple[Entry, int]]:
        """Yield (item, bytes of its line) up to the first that is torn."""
        with self.path.open("rb") as lines:
            if lines.readline() != self._first:
                return
            for line in lines:
                try:
                    entry = Entry(**json.loads(line)) if line.endswith(b"\n") else None
                except (ValueError, TypeError):
                    return
                if entry is None or row_sum(rows.read(entry.rows * row_bytes)) != entry.sum:
                    return
                yield entry, len(line)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def row_sum(rows: bytes | memoryview) -> str:
    """Return the xxh3-64 of rows."""
    return xxhash.xxh3_64_hexdigest(rows)
