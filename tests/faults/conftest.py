"""Broken files made from real clips, and a line for each fault with what its tests said."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.runs import SMALL_CLIPS, FillingDisk

_NUMBER = re.compile(r"::test_t(\d\d)_")


@pytest.fixture
def clips(shared: Path, tmp_path: Path) -> Path:
    """Return a folder with copies of a few small real clips."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in SMALL_CLIPS:
        shutil.copy(shared / "data" / "videos" / name, folder)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[FillingDisk]:
    """Return a disk of its own whose size the test sets; skipped where nothing may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        pytest.skip("no file system may be mounted here")
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        yield FillingDisk(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print for every fault whether its tests passed."""
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            if number := _NUMBER.search(report.nodeid):
                outcomes[number[1]][outcome] += 1
    if outcomes:
        terminalreporter.section("faults")
    for number, counts in sorted(outcomes.items()):
        worst = next(name for name in ("error", "failed", "passed", "skipped") if counts[name])
        tests = f"{counts.total()} test" + "s" * (counts.total() > 1)
        skipped = f", {counts['skipped']} skipped" if 0 < counts["skipped"] < counts.total() else ""
        terminalreporter.write_line(f"T{number} {worst} ({tests}{skipped})")
