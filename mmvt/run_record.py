"""The record of a run: what was started, where, with what, and how it ended.

It stands in ``run.json`` in the folder of the run. A run that is resumed has a start more.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmvt.errors import DataError
from mmvt.files import atomic_write_json
from mmvt.redaction import redacted

RECORD = "run.json"
FORMAT = 1
PACKAGES = (
    "mmvt",
    "fairseq-fixed",
    "numpy",
    "omegaconf",
    "safetensors",
    "tensorboard",
    "tokenizers",
    "torch",
    "transformers",
)
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
RUNNING, KILLED, ELSEWHERE = "running", "killed", "elsewhere"
_MOST_ERROR = 2000

Record = dict[str, Any]


def begin(folder: Path, *, task: Path, seed: int, workers: int, gpus: Sequence[str] = ()) -> Record:
    """Write down that a run starts, or goes on; return the record.

    Args:
        folder: of the run.
        task: its YAML.
        seed: of the run.
        workers: number of processes.
        gpus: their names.

    Raises:
        DataError: the record that is there is damaged.
    """
    old = read(folder) or {"starts": []}
    start = {
        "began": _now(),
        "ended": None,
        "outcome": None,
        "error": None,
        "command": [redacted(word) for word in sys.orig_argv],
        "folder": str(Path.cwd()),
        "process": {"id": os.getpid(), "born": _born(os.getpid())},
        "host": {
            "name": platform.node(),
            "system": platform.platform(),
            "cpus": os.cpu_count(),
            "gpus": list(gpus),
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "git": {
            "project": git_state(Path.cwd()),
            "mmvt": git_state(Path(__file__).resolve().parent),
        },
    }
    record = {
        "format": FORMAT,
        "task": str(task),
        "seed": seed,
        "workers": workers,
        "starts": [*old["starts"], start],
    }
    atomic_write_json(folder / RECORD, record)
    return record


def end(folder: Path, record: Record, outcome: str, error: BaseException | None = None) -> None:
    """Write down how a run ended.

    Args:
        folder: of the run.
        record: what :func:`begin` returned.
        outcome: ``finished``, ``stopped`` or ``failed``.
        error: what it failed of.
    """
    about = None if error is None else redacted(f"{type(error).__name__}: {error}")[:_MOST_ERROR]
    *others, last = record["starts"]
    last = last | {"ended": _now(), "outcome": outcome, "error": about}
    atomic_write_json(folder / RECORD, record | {"starts": [*others, last]})


def read(folder: Path) -> Record | None:
    """Return the record of a run; None where there is none.

    Raises:
        DataError: the file is no record.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not record.get("starts"):
        raise DataError(f"{path}: is no record of a run, or of another version of mmvt")
    return record


def state(record: Record) -> str:
    """Return what a run is doing, or how it ended.

    ``elsewhere``: it was started on another machine, and has not ended as far as one can tell.
    """
    last = record["starts"][-1]
    if last["outcome"] is not None:
        return str(last["outcome"])
    if last["host"]["name"] != platform.node():
        return ELSEWHERE
    process = last["process"]
    born = _born(process["id"])
    return RUNNING if born is not None and born == process["born"] else KILLED


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and branch of a checkout, and whether files differ; None outside of one."""
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    return {"commit": commit, "branch": branch, "dirty": bool(changes)}


def _git(folder: Path, *words: str) -> str | None:
    # a monitor named in a repository's configuration would be run
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *words]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        # a checkout on the path that was never installed has no version
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _born(process: int) -> int | None:
    """Return when a process began, in ticks since the machine did; None if it does not run.

    An id is used again after a while.
    """
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else int(fields[19])
    return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
