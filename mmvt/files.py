"""Writes files whole or not at all: a temporary name beside the target, then a rename."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mmvt.errors import StoreError


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the name ``path`` when the block ends without an error.

    Whoever has the old file open keeps reading it. An error leaves the old file as it was. Until
    the rename the file is called ``.NAME.RANDOM.tmp``, which is all that a killed process leaves.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def atomic_write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8."""
    with atomic_write(path) as file:
        file.write(text.encode())


def atomic_write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON file whose bytes depend on nothing but ``data``."""
    atomic_write_text(path, json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Keep other processes away while the block runs; the system ends it with the process.

    Args:
        path: the lock file, which stays.
        what: what the others would write, for the message.

    Raises:
        StoreError: another process is in such a block.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"{path}: another process is writing {what}") from error
        yield


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
