"""Tests of job types."""

from __future__ import annotations

import pytest

from mmvt.errors import LaunchError
from mmvt_cli.jobs import JOBS, check_gpus, job_named


def test_job_types_have_their_processes():
    assert {name: job.processes for name, job in JOBS.items() if job.trains} == {
        "local_single": 1,
        "local_small": 2,
        "local_big": 8,
        "slurm_single": 1,
        "slurm_small": 8,
        "slurm_big": 8,
    }
    assert [name for name, job in JOBS.items() if job.nodes > 1] == ["slurm_big"]
    assert not job_named("local_predict").trains


def test_an_unknown_job_type_lists_those_there_are():
    with pytest.raises(LaunchError) as caught:
        job_named("local_bgi")
    assert str(caught.value) == (
        "no job type named 'local_bgi'; did you mean local_big? (there are local_single, "
        "local_small, local_big, local_predict, slurm_single, slurm_small, slurm_big, "
        "slurm_predict)"
    )


@pytest.mark.parametrize(
    ("name", "gpus"),
    [
        ("local_single", 0),
        ("local_single", 1),
        ("local_small", 0),
        ("local_small", 2),
        ("local_big", 0),
        ("local_big", 8),
        ("local_big", 9),
        ("local_predict", 1),
    ],
)
def test_enough_gpus_or_none_will_do(name: str, gpus: int):
    check_gpus(name, gpus)


@pytest.mark.parametrize(
    ("name", "processes", "gpus", "fitting"),
    [
        ("local_small", 2, 1, "local_single"),
        ("local_big", 8, 1, "local_single"),
        ("local_big", 8, 2, "local_small"),
        ("local_big", 8, 7, "local_small"),
    ],
)
def test_too_few_gpus_are_told_with_both_numbers_and_what_fits(
    name: str, processes: int, gpus: int, fitting: str
):
    with pytest.raises(LaunchError) as caught:
        check_gpus(name, gpus)
    assert str(caught.value) == (
        f"--jobtype {name} starts {processes} processes with a GPU each, but the number of visible "
        f"GPUs is {gpus}; use --jobtype {fitting}"
    )
