"""Job types, as data: how many processes run which command."""

from __future__ import annotations

from dataclasses import dataclass

from mmvt.errors import LaunchError, did_you_mean


@dataclass(frozen=True)
class Job:
    """A way to run a task on this machine.

    Attributes:
        processes: workers; more than one run through torchrun.
        module: the command that each of them runs.
        about: one line for ``--help``.
    """

    processes: int
    module: str
    about: str

    @property
    def trains(self) -> bool:
        """Whether the job trains; else it evaluates."""
        return self.module == "mmvt_cli.train"


JOBS = {
    "local_single": Job(1, "mmvt_cli.train", "train in one process"),
    "local_small": Job(
        2, "mmvt_cli.train", "train in 2 processes, a GPU each where there are GPUs"
    ),
    "local_big": Job(8, "mmvt_cli.train", "train in 8 processes, a GPU each where there are GPUs"),
    "local_predict": Job(1, "mmvt_cli.predict", "evaluate in one process"),
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
        name: the job type.
        gpus: how many are visible.

    Raises:
        LaunchError: with both numbers, and the job type that fits.
    """
    job = JOBS[name]
    if not 0 < gpus < job.processes:
        return
    fitting = [n for n, j in JOBS.items() if j.module == job.module and j.processes <= gpus]
    best = max(fitting, key=lambda n: JOBS[n].processes)
    raise LaunchError(
        f"--jobtype {name} starts {job.processes} processes with a GPU each, but the number of "
        f"visible GPUs is {gpus}; use --jobtype {best}"
    )
