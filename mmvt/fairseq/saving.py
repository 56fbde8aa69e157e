"""The checkpoints of a run: written whole or not at all, and the newest whole one found again."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from mmvt.checkpoint import UnsafeCheckpointError, load_safely
from mmvt.errors import CheckpointError
from mmvt.files import atomic_write, locked

logger = logging.getLogger(__name__)

LAST = "checkpoint_last.pt"
_NAMES = re.compile(r"checkpoint(_last|_best|\d+|_\d+_\d+|\.best_.+)\.pt")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other trainings out of the folder of a run while the block runs.

    Raises:
        StoreError: another one is at work there.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / ".lock", "the checkpoints of this run"))
        except OSError as error:
            logger.warning("%s cannot be locked (%s); start no second training", folder, error)
        yield


def write_checkpoint(state: Mapping[str, Any], path: Path, *, last: bool = True) -> None:
    """Write what a checkpoint holds.

    Args:
        state: tensors and plain containers.
        path: the file.
        last: write it as ``checkpoint_last.pt`` of the folder first, so that a process that is
            killed in between goes on from the newest.
    """
    first = path.with_name(LAST) if last else path
    with atomic_write(first) as file:
        torch.save(state, file)
    if first != path:
        copy_checkpoint(first, path)


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy a file; no link, so that one that is damaged on the disk damages no other."""
    with source.open("rb") as file, atomic_write(target) as copy:
        shutil.copyfileobj(file, copy, 1 << 20)


def mend(folder: Path) -> None:
    """Make ``checkpoint_last.pt`` of a run that was killed one that can be loaded.

    If it is whole it stays. If it is torn or gone, the newest of the other checkpoints that is
    whole takes its place, and the log names those that are not.

    Raises:
        UnsafeCheckpointError: one that was looked at would run code.
        CheckpointError: there are checkpoints, but none is whole.
    """
    for leftover in folder.glob(".checkpoint*.pt.*.tmp"):  # of a process that was killed
        leftover.unlink(missing_ok=True)
    last = folder / LAST
    others = sorted(p for p in folder.glob("checkpoint*.pt") if _NAMES.fullmatch(p.name))
    problems: list[str] = []
    if last in others and _updates(last, problems) is not None:
        return
    whole = {path: _updates(path, problems) for path in others if path != last}
    found = {path: updates for path, updates in whole.items() if updates is not None}
    for problem in problems:
        logger.warning("skipped: %s", problem)
    if found:
        newest = max(found, key=lambda path: found[path])
        copy_checkpoint(newest, last)
        logger.warning("going on from %s, after %d updates", newest, found[newest])
    elif problems:
        raise CheckpointError(
            f"{folder}: none of its checkpoints is whole; remove them to begin anew\n"
            + "\n".join(problems)
        )


def _updates(path: Path, problems: list[str]) -> int | None:
    """Return after how many updates a checkpoint was written; None, with the problem, if torn."""
    try:
        history = load_safely(path, mapped=True).get("optimizer_history")
    except UnsafeCheckpointError:
        raise
    except CheckpointError as error:
        problems.append(str(error))
        return None
    return int(history[-1].get("num_updates", 0)) if history else 0
