"""Job types, as data: how many processes run which command, on this machine or on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from mmvt.errors import LaunchError, did_you_mean

_TRAIN, _PREDICT = "mmvt_cli.train", "mmvt_cli.predict"


@dataclass(frozen=True)
class Job:
    """A way to run a task.

    Attributes:
        processes: workers of a machine; more than one run through torchrun.
        module: the command that each of them runs.
        about: one line for ``--help``.
        slurm: hand it to Slurm instead of running it here.
        nodes: machines; more than one only with Slurm.
    """

    processes: int
    module: str
    about: str
    slurm: bool = False
    nodes: int = 1

    @property
    def trains(self) -> bool:
        """Whether the job trains; else it evaluates."""
        return self.module == _TRAIN


@dataclass(frozen=True)
class Rendezvous:
    """Where the processes of several machines find each other.

    Attributes:
        nodes: how many machines there are.
        node: which of them this is, from 0.
        host: name of the first.
        port: a free one of the first.
    """

    nodes: int
    node: int
    host: str
    port: int


JOBS = {
    "local_single": Job(1, _TRAIN, "train in one process"),
    "local_small": Job(2, _TRAIN, "train in 2 processes, a GPU each where there are GPUs"),
    "local_big": Job(8, _TRAIN, "train in 8 processes, a GPU each where there are GPUs"),
    "local_predict": Job(1, _PREDICT, "evaluate in one process"),
    "slurm_single": Job(1, _TRAIN, "train in one process on a cluster", slurm=True),
    "slurm_small": Job(8, _TRAIN, "train on a node of a cluster, 8 GPUs", slurm=True),
    "slurm_big": Job(8, _TRAIN, "train on nodes of a cluster, 2 with 8 GPUs", slurm=True, nodes=2),
    "slurm_predict": Job(1, _PREDICT, "evaluate in one process on a cluster", slurm=True),
}


def job_named(name: str) -> Job:
    """Return the job type of that name.

    Raises:
        LaunchError: there is none; the message lists those there are.
    """
    if name not in JOBS:
        known = ", ".join(JOBS)
        raise LaunchError(
            f"no job type named {name!r}{did_you_mean(name, JOBS)} (there are {known})"
        )
    return JOBS[name]


def check_gpus(name: str, gpus: int) -> None:
    """Raise if a job type has more processes than there are GPUs, unless there are none at all.

    Args:
        name: a job type of this machine.
        gpus: how many are visible.

    Raises:
        LaunchError: with both numbers, and the job type that fits.
    """
    job = JOBS[name]
    if not 0 < gpus < job.processes:
        return
    here = {n: j for n, j in JOBS.items() if j.module == job.module and not j.slurm}
    best = max((n for n, j in here.items() if j.processes <= gpus), key=lambda n: here[n].processes)
    raise LaunchError(
        f"--jobtype {name} starts {job.processes} processes with a GPU each, but the number of "
        f"visible GPUs is {gpus}; use --jobtype {best}"
    )


def start_words(
    words: Sequence[str], processes: int, rendezvous: Rendezvous | None = None
) -> list[str]:
    """Return the command that starts the processes of a machine.

    Args:
        words: what each process runs with Python.
        processes: how many there are on the machine.
        rendezvous: with other machines, if the job has several.
    """
    if rendezvous is None and processes == 1:
        return [sys.executable, *words]
    if rendezvous is None:
        meeting = ["--standalone"]
    else:
        meeting = [f"--nnodes={rendezvous.nodes}", f"--node_rank={rendezvous.node}"]
        meeting += [f"--master_addr={rendezvous.host}", f"--master_port={rendezvous.port}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    return [*torchrun, *meeting, f"--nproc_per_node={processes}", *words]
