"""Files that are written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import IO

import pytest

from mmvt.errors import StoreError
from mmvt.files import atomic_write, atomic_write_json, atomic_write_text, locked, sha256_file


def test_a_file_appears_when_its_block_ends(tmp_path: Path):
    path = tmp_path / "deep" / "x.bin"
    with atomic_write(path) as file:
        file.write(b"ab")
        assert not path.exists()
    assert path.read_bytes() == b"ab"
    assert list(path.parent.iterdir()) == [path]


def close_too_early(file: IO[bytes]) -> None:
    file.write(b"new")
    file.close()


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with (
        pytest.raises(ValueError, match="closed file"),
        atomic_write(path) as file,
    ):
        close_too_early(file)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        atomic_write_text(path, "new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_a_file_has_the_rights_that_any_new_file_has(tmp_path: Path):
    previous = os.umask(0o027)
    try:
        atomic_write_text(tmp_path / "x", "")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_text_is_utf8(tmp_path: Path):
    atomic_write_text(tmp_path / "x", "ä\n")
    assert (tmp_path / "x").read_bytes() == b"\xc3\xa4\n"


def test_json_does_not_depend_on_the_order_of_keys(tmp_path: Path):
    atomic_write_json(tmp_path / "one", {"b": 1, "a": "ä"})
    atomic_write_json(tmp_path / "two", {"a": "ä", "b": 1})
    assert (tmp_path / "one").read_text() == '{\n  "a": "ä",\n  "b": 1\n}\n'
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("content", [b"", b"abc", bytes(100_000)])
def test_the_sum_of_a_file_is_that_of_its_bytes(tmp_path: Path, content: bytes):
    (tmp_path / "x").write_bytes(content)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_a_lock_keeps_others_out_until_its_block_ends(tmp_path: Path):
    with (
        locked(tmp_path / "x" / "lock", "these files"),
        pytest.raises(StoreError, match="x/lock: another process is writing these files"),
        locked(tmp_path / "x" / "lock", "these files"),
    ):
        pass
    with locked(tmp_path / "x" / "lock", "these files"):
        pass
