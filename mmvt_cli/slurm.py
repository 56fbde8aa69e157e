"""Hands the tasks of a project to Slurm, through submitit.

Those of a step that may run side by side are one array; the next step waits until all have ended
well. A job that is preempted, or out of time, has its workers save what they have and is queued
again. ``--cluster local`` runs the same on this machine, where there is no Slurm.

submitit keeps its own files, pickles among them, in ``runs/slurm``: whoever can write there can
run code as you.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from mmvt.errors import LaunchError, require_package
from mmvt_cli.jobs import Job, Rendezvous, start_words
from mmvt_cli.processes import pass_on

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

FOLDER = Path("runs", "slurm")
MINUTES = 24 * 60
MOST_REQUEUES = 100  # after running out of time; preemption is not counted
SAVING_SECONDS = 75.0  # of the 90 between Slurm's signal and the kill
_PLAIN = re.compile(r"[\w.,:@%+*=&|()\[\]/-]+", re.ASCII)
_ARRAY = re.compile(r"(\d+)(?:_\d+)?")


@dataclass(frozen=True)
class ClusterOptions:
    """What the command line says of the cluster; None is the default of the cluster or the job.

    Attributes:
        cluster: ``slurm``, or ``local`` for this machine.
        partition: where the jobs are queued.
        account: who pays.
        qos: quality of service.
        constraint: features that nodes must have.
        time: minutes until a job is queued again.
        nodes: machines of a job.
        gpus: GPUs of a machine, with a process each.
        cpus: CPUs of a machine.
        mem: memory of a machine in GB.
    """

    cluster: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: int | None = None
    nodes: int | None = None
    gpus: int | None = None
    cpus: int | None = None
    mem: int | None = None

    def given(self) -> dict[str, str | int]:
        """Return the options that were given."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def check(self) -> None:
        """Raise if a value is one that a batch file cannot hold.

        Raises:
            LaunchError: with the first such value.
        """
        for name, value in self.given().items():
            if isinstance(value, str) and not _PLAIN.fullmatch(value):
                raise LaunchError(f"--{name} must be a plain word, not {value!r}")
            if isinstance(value, int) and value < 1:
                raise LaunchError(f"--{name} must be at least 1, not {value}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a cluster to a parser."""
    group = parser.add_argument_group("cluster", "with the job types slurm_*")
    group.add_argument(
        "--cluster",
        choices=("slurm", "local"),
        help="local: run the same on this machine (default: slurm)",
    )
    for name, about in (
        ("partition", "where the jobs are queued"),
        ("account", "who pays"),
        ("qos", "quality of service"),
        ("constraint", "features that nodes must have"),
    ):
        group.add_argument(f"--{name}", metavar="NAME", help=about)
    for name, about in (
        ("time", f"minutes until a job saves and is queued again (default: {MINUTES})"),
        ("nodes", "machines of a job"),
        ("gpus", "GPUs of a machine, a process each"),
        ("cpus", "CPUs of a machine"),
        ("mem", "memory of a machine in GB"),
    ):
        group.add_argument(f"--{name}", metavar="N", type=int, help=about)


def options_of(args: argparse.Namespace) -> ClusterOptions:
    """Return the options that were given on a command line."""
    return ClusterOptions(**{name: vars(args)[name] for name in vars(ClusterOptions())})


def sized(job: Job, options: ClusterOptions) -> Job:
    """Return a job type of as many nodes and processes as the command line says.

    Raises:
        LaunchError: evaluation is to run in several processes, or a value is no plain word.
    """
    options.check()
    job = replace(job, nodes=options.nodes or job.nodes, processes=options.gpus or job.processes)
    if not job.trains and job.nodes * job.processes > 1:
        raise LaunchError("slurm_predict runs in one process; leave out --nodes and --gpus")
    return job


def parameters(job: Job, options: ClusterOptions, name: str) -> dict[str, Any]:
    """Return what a job asks of Slurm, by submitit's names.

    Args:
        job: with the numbers of nodes and processes.
        options: of the command line.
        name: of the project; anything but letters, digits, dots and dashes becomes a dash.
    """
    asked: dict[str, Any] = {
        "name": "mmvt-" + re.sub(r"[^A-Za-z0-9.]+", "-", name),
        "nodes": job.nodes,
        "tasks_per_node": 1,  # it starts the processes of its node
        "gpus_per_node": job.processes,
        "timeout_min": options.time or MINUTES,
        "cpus_per_task": options.cpus,
        "mem_gb": options.mem,
    }
    for key in ("partition", "account", "qos", "constraint"):
        asked[f"slurm_{key}"] = vars(options)[key]
    return {key: value for key, value in asked.items() if value is not None}


def submit(
    steps: Sequence[Sequence[Sequence[str]]], job: Job, options: ClusterOptions, name: str
) -> int:
    """Hand over the steps of a project; return the exit code.

    On Slurm this returns as soon as all is queued; on this machine, when all has ended.

    Args:
        steps: of each step, the words that each of its tasks runs with Python.
        job: with the numbers of nodes and processes.
        options: of the command line.
        name: of the project.

    Raises:
        MissingPackageError: submitit is not installed.
        LaunchError: Slurm is not there, or refuses a job.
    """
    require_package("submitit", "slurm")
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    local = options.cluster == "local"
    after: str | None = None
    try:
        for step in steps:
            jobs = _submit_step(step, job, options, name, after)
            for one, words in zip(jobs, step, strict=True):
                print(f"job {one.job_id}: {shlex.join(words)}")
                print(f"  log: {one.paths.stdout}", flush=True)
            if local and _wait(jobs):
                return 1
            match = _ARRAY.match(jobs[0].job_id)
            after = None if local or match is None else f"afterok:{match[1]}"
    except (FailedSubmissionError, FailedJobError, RuntimeError) as error:
        raise LaunchError(f"Slurm takes no job: {error}") from error
    return 0


def _submit_step(
    step: Sequence[Sequence[str]],
    job: Job,
    options: ClusterOptions,
    name: str,
    after: str | None,
) -> list[Any]:
    """Return submitit's job of each task of a step; several are an array."""
    from submitit import AutoExecutor

    local = options.cluster == "local"
    executor = AutoExecutor(
        Path.cwd() / FOLDER / "%j",
        cluster="local" if local else "slurm",
        local_max_num_timeout=MOST_REQUEUES,
        slurm_max_num_timeout=MOST_REQUEUES,
    )
    asked = parameters(job, options, name)
    if local:  # each node is a process of this machine
        here = {"nodes": 1, "tasks_per_node": job.nodes, "gpus_per_node": _visible_gpus()}
        asked = {key: value for key, value in asked.items() if not key.startswith("slurm_")} | here
    elif after is not None:
        asked["slurm_dependency"] = after
    executor.update_parameters(**asked)
    runs = [NodeRun(words, job.processes, job.nodes) for words in step]
    with executor.batch() if len(runs) > 1 else contextlib.nullcontext():
        return [executor.submit(run) for run in runs]


def _visible_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _wait(jobs: Sequence[Any]) -> bool:
    """Wait for jobs of this machine; return whether one failed, and say which."""
    failed = False
    try:
        for one in jobs:
            one.wait()
            if one.exception() is not None:
                failed = True
                print(f"error: job {one.job_id} failed; see {one.paths.stderr}", file=sys.stderr)
    except KeyboardInterrupt:
        for one in jobs:
            one.cancel()
        raise
    return failed


class NodeRun:
    """Starts the processes of one node of a job, and has them save when the node is taken away.

    Args:
        words: what each process runs with Python.
        processes: how many there are on a node.
        nodes: how many nodes there are.
    """

    def __init__(self, words: Sequence[str], processes: int, nodes: int) -> None:
        self.words = list(words)
        self.processes = processes
        self.nodes = nodes
        self._child: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Run until the processes end.

        Raises:
            LaunchError: they ended with an exit code other than 0.
        """
        from submitit import JobEnvironment

        place = JobEnvironment()
        command = start_words(self.words, self.processes, _rendezvous(place, self.nodes))
        requeue = signal.getsignal(place._usr_sig())

        def make_room(number: int, frame: FrameType | None = None) -> None:
            # of every node: submitit asks only the first, and its workers cannot save alone
            self.stop()
            if callable(requeue):
                requeue(number, frame)

        def end(number: int, _frame: FrameType | None = None) -> None:
            self._send(number)

        signal.signal(place._usr_sig(), make_room)
        signal.signal(signal.SIGTERM, end)
        print(shlex.join(command), flush=True)
        # in a session of its own, so that nothing but the signals passed on reaches it
        self._child = subprocess.Popen(command, start_new_session=True)
        try:
            code = self._child.wait()
        except KeyboardInterrupt:
            self.stop()
            raise
        if code:
            raise LaunchError(f"{shlex.join(command)} ended with exit code {code}")

    def stop(self) -> None:
        """Have the processes save and end; return when they have, or have no time left."""
        self._send(signal.SIGTERM)
        until = time.monotonic() + SAVING_SECONDS
        # not Popen.wait, inside which the signal may have come
        while self._child is not None and _is_running(self._child) and time.monotonic() < until:
            time.sleep(0.1)

    def checkpoint(self) -> DelayedSubmission:
        """Return what is run when the job is queued again: the same, which resumes."""
        from submitit.core.utils import DelayedSubmission

        return DelayedSubmission(NodeRun(self.words, self.processes, self.nodes))

    def _send(self, number: int) -> None:
        if self._child is not None:
            pass_on(self._child.pid, number)


def _is_running(child: subprocess.Popen[bytes]) -> bool:
    try:
        found = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return found is None


def _rendezvous(place: Any, nodes: int) -> Rendezvous | None:
    """Return where the nodes of a job find each other; None for a job of one node."""
    if nodes == 1:
        return None
    digits = re.sub(r"\D", "", place.raw_job_id)
    host = "localhost" if place.cluster == "local" else place.hostnames[0]
    return Rendezvous(nodes, place.global_rank, host, 20_000 + int(digits) % 10_000)
