"""Real training processes that meet with a mishap: held, killed, stopped, or given a bad loss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmvt_cli.processes import children_of
from tests.corpus import write_project

ROOT = Path(__file__).resolve().parents[2]
RUN = Path("runs", "tiny", "tiny")
DEADLINE = 60.0  # seconds in which a job with a dead worker is to end
MARGIN = 3.0

MISHAP = '''\
import os, signal, time
from pathlib import Path
from mmvt.errors import DataError
from mmvt.tasks.task import Task


class MishapTask(Task):
    """Has something happen in an update of one worker.

    Args:
        what: ``hold``, ``die``, ``freeze``, ``raise``, ``nan``, or ``nothing``.
        at: number of the update, counted from the start of the process.
        worker: rank of the worker; null = all of them.
    """

    def __init__(
        self, *, what: str = "nothing", at: int = 3, worker: int | None = None,
        subsampling: int = 1, seed: int = 1,
    ) -> None:
        super().__init__(subsampling=subsampling, seed=seed)
        self.what, self.at, self.worker, self.updates = what, at, worker, 0

    def compute(self, model, loss, batch):
        value, outputs = super().compute(model, loss, batch)
        if not model.training:
            return value, outputs
        self.updates += 1
        rank = int(os.environ.get("RANK", "0"))
        with open(f"seen{rank}.txt", "a") as file:
            file.write(" ".join(batch["video_id"]).replace("video ", "v") + "\\n")
        if self.updates == self.at and self.worker in (None, rank):
            Path(f"{self.what}{rank}").touch()
            if self.what == "hold":
                while not Path("go").exists():
                    time.sleep(0.02)
            elif self.what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.what == "freeze":
                os.kill(os.getpid(), signal.SIGSTOP)
            elif self.what == "raise":
                raise DataError("video 'v9': cannot be read")
            elif self.what == "nan":
                value = value * float("nan")
        return value, outputs
'''


def write_run(folder: Path, corpus: Path, options: str = "") -> Path:
    """Write a project whose task can have a mishap; return its folder.

    Args:
        folder: a new one.
        corpus: see :func:`tests.corpus.write_corpus`.
        options: more YAML.
    """
    folder.mkdir(parents=True, exist_ok=True)
    project = write_project(folder, corpus)
    project.with_name("mishap.py").write_text(MISHAP)
    project.write_text(f"{project.read_text()}plugins: [mishap.py]\ntask: MishapTask\n{options}")
    return folder


@dataclass
class Ended:
    """How a process ended.

    Attributes:
        code: its exit code.
        output: what it printed.
        seconds: how long it ran.
    """

    code: int
    output: str
    seconds: float


class Started:
    """A command at work, whose output goes to a file.

    Args:
        folder: where it runs.
        command: its words.
    """

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.folder = folder
        self._log = folder / "output.txt"
        self._began = time.monotonic()
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=variables(), stdout=log, stderr=log
            )

    def wait_for(self, *names: str) -> None:
        """Wait until files are there."""
        while not all((self.folder / name).exists() for name in names):
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.02)

    def signal_and_go(self, number: signal.Signals) -> None:
        """Send a signal to the process, then let its held workers go on."""
        self.process.send_signal(number)
        self.go()

    def signal_all_and_go(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the job, as a cluster does; then let them go on."""
        ids = [self.process.pid]
        for parent in ids:
            ids += children_of(parent)
        for receiver in ids:
            os.kill(receiver, number)
        self.go()

    def go(self) -> None:
        """Let held workers go on, when what was sent to them has arrived."""
        time.sleep(1)
        (self.folder / "go").touch()

    def end(self) -> Ended:
        """Wait until it has ended."""
        return self.end_within(800)

    def end_within(self, seconds: float) -> Ended:
        """Wait until it has ended, but no longer than that."""
        try:
            code = self.process.wait(timeout=seconds)
        finally:
            self.process.kill()
            self.process.wait()
        return Ended(code, self._log.read_text(), time.monotonic() - self._began)


def variables() -> dict[str, str]:
    """Return the environment of a process that trains on the CPU, with one thread."""
    own = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **own, "PYTHONPATH": str(ROOT)}


def train(folder: Path, *words: str) -> Ended:
    """Train in one process, without the launcher, and return how it ended."""
    command = [sys.executable, "-m", "mmvt_cli.train", "projects/tiny/tiny.yaml", *words]
    return Started(folder, command).end()


def start(folder: Path, *words: str, workers: int = 1) -> Started:
    """Start the launcher in a project's folder."""
    jobtype = {1: "local_single", 2: "local_small"}[workers]
    launcher = [sys.executable, str(ROOT / "locallaunch.py"), "projects/tiny.yaml"]
    return Started(folder, [*launcher, "--jobtype", jobtype, *words])


def updates(number: int) -> str:
    """Return the override that ends a training after so many updates."""
    return f"fairseq.optimization.max_update={number}"


def mishap(what: str, at: int = 3, worker: int | None = None) -> str:
    """Return the override that has something happen."""
    rank = "null" if worker is None else worker
    return f"task={{name: MishapTask, what: {what}, at: {at}, worker: {rank}}}"


def seen(folder: Path, worker: int = 0) -> list[list[str]]:
    """Return the videos of each batch that a worker saw."""
    return [line.split() for line in (folder / f"seen{worker}.txt").read_text().splitlines()]


def last_checkpoint(folder: Path) -> dict[str, Any]:
    """Return all that the last checkpoint of a run holds."""
    state: dict[str, Any] = torch.load(folder / RUN / "checkpoint_last.pt", weights_only=True)
    return state


def differences(one: object, two: object, path: str = "") -> list[str]:
    """Return where two checkpoints differ, but for times, options, and earlier sessions."""
    if isinstance(one, dict) and isinstance(two, dict):
        keys = {*one, *two} - {"previous_training_time", "metrics", "cfg", "val_loss", "best"}
        pairs = [(key, one.get(key), two.get(key)) for key in sorted(keys, key=str)]
    elif path.endswith("/optimizer_history"):
        pairs = [("last", *(list(history)[-1] for history in (one, two)))]  # type: ignore[call-overload]
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        pairs = [(number, *both) for number, both in enumerate(zip(one, two, strict=True))]
    elif isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return [] if torch.equal(one, two) else [path]
    else:
        return [] if one == two else [path]
    return [found for key, a, b in pairs for found in differences(a, b, f"{path}/{key}")]
