"""Tests of jobs on a cluster: what Slurm is asked for, and real jobs of this machine."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmvt.errors import LaunchError
from mmvt_cli.jobs import JOBS, Rendezvous, start_words
from mmvt_cli.slurm import ClusterOptions, add_options, options_of, parameters, sized, submit

ROOT = Path(__file__).resolve().parents[2]
TRAINS = ["-m", "mmvt_cli.train", "a.yaml"]
SUBMIT = """
import json, sys
from mmvt_cli.jobs import Job
from mmvt_cli.slurm import ClusterOptions, submit
steps, processes, nodes = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
job = Job(processes, "mmvt_cli.train", "", slurm=True, nodes=nodes)
sys.exit(submit(steps, job, ClusterOptions(cluster="local"), "tiny"))
"""
NOTES = "import os, sys; open('notes', 'a').write(sys.argv[1] + '\\n')"
# stands for a training: saves when it is asked to end, and goes on where it was
RESUMES = """
import pathlib, signal, sys, time
saved = pathlib.Path("saved")
if saved.exists():
    pathlib.Path("resumed").touch()
    sys.exit(0)
def save(*_):
    saved.touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path("ready").touch()
time.sleep(300)
"""


def options(**given: object) -> ClusterOptions:
    return ClusterOptions(**given)  # type: ignore[arg-type]


@contextmanager
def handed_over(folder: Path, steps: object, nodes: int = 1) -> Iterator[subprocess.Popen[str]]:
    """Hand over steps of words to jobs of this machine, in a process of its own."""
    words = [sys.executable, "-c", SUBMIT, json.dumps(steps), "1", str(nodes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        words, cwd=folder, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


class TestWords:
    def test_the_command_line_says_partition_account_time_and_size(self):
        parser = argparse.ArgumentParser()
        add_options(parser)
        words = "--partition gpu --account lab --time 30 --nodes 4 --gpus 2 --cpus 16 --mem 64"
        given = options_of(parser.parse_args(words.split()))
        job = sized(JOBS["slurm_big"], given)
        assert parameters(job, given, "my project/$x") == {
            "name": "mmvt-my-project-x",
            "nodes": 4,
            "tasks_per_node": 1,
            "gpus_per_node": 2,
            "timeout_min": 30,
            "cpus_per_task": 16,
            "mem_gb": 64,
            "slurm_partition": "gpu",
            "slurm_account": "lab",
        }

    def test_unsaid_it_is_a_day_and_the_size_of_the_job_type(self):
        job = sized(JOBS["slurm_small"], options())
        assert parameters(job, options(), "a") == {
            "name": "mmvt-a",
            "nodes": 1,
            "tasks_per_node": 1,
            "gpus_per_node": 8,
            "timeout_min": 1440,
        }

    @pytest.mark.parametrize("value", ["a b", "a\n#SBATCH --uid=0", "$(x)", "", "é", "`x`", "a;b"])
    def test_a_value_is_a_plain_word(self, value: str):
        with pytest.raises(LaunchError, match="--partition must be a plain word"):
            sized(JOBS["slurm_single"], options(partition=value))

    @pytest.mark.parametrize("value", ["gpu,gpu-2", "a100&nvlink", "dev_1"])
    def test_what_slurm_knows_is_a_plain_word(self, value: str):
        assert sized(JOBS["slurm_single"], options(constraint=value)).processes == 1

    def test_a_number_is_at_least_one(self):
        with pytest.raises(LaunchError, match="--nodes must be at least 1, not 0"):
            sized(JOBS["slurm_big"], options(nodes=0))

    def test_evaluation_takes_one_process(self):
        with pytest.raises(LaunchError, match="slurm_predict runs in one process"):
            sized(JOBS["slurm_predict"], options(gpus=2))

    def test_one_process_needs_no_torchrun_and_several_nodes_meet_at_the_first(self):
        assert start_words(TRAINS, 1) == [sys.executable, *TRAINS]
        torchrun = [sys.executable, "-m", "torch.distributed.run"]
        one = ["--standalone", "--nproc_per_node=2"]
        assert start_words(TRAINS, 2) == [*torchrun, *one, *TRAINS]
        several = ["--nnodes=3", "--node_rank=1", "--master_addr=n0", "--master_port=20007"]
        assert start_words(TRAINS, 1, Rendezvous(3, 1, "n0", 20007)) == [
            *torchrun,
            *several,
            "--nproc_per_node=1",
            *TRAINS,
        ]


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where a stand-in for Slurm's commands keeps what it is handed, by number."""
    programs, folder = tmp_path / "bin", tmp_path / "batches"
    programs.mkdir()
    folder.mkdir()
    for name in ("sbatch", "srun"):
        program = programs / name
        program.write_text(
            f'#!/bin/sh\nn=$(ls {folder} | wc -l)\ncp "$1" {folder}/$n\n'
            'echo "Submitted batch job 10$n"\n'
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return folder


class TestBatchFiles:
    """What submitit hands to ``sbatch``; no Slurm has run it."""

    def test_a_step_is_an_array_and_the_next_one_waits_for_it(
        self, batches: Path, capsys: pytest.CaptureFixture[str]
    ):
        given = options(partition="gpu", account="lab", qos="high", constraint="a100&ib", time=30)
        job = sized(JOBS["slurm_big"], given)
        steps = [[TRAINS, [*TRAINS, "head=$(touch x)"]], [TRAINS]]
        assert submit(steps, job, given, "mine") == 0
        first, second = ((batches / str(n)).read_text() for n in (0, 1))
        lines = set(first.splitlines())
        assert {
            "#SBATCH --array=0-1%2",
            "#SBATCH --job-name=mmvt-mine",
            "#SBATCH --nodes=2",
            "#SBATCH --ntasks-per-node=1",
            "#SBATCH --gpus-per-node=8",
            "#SBATCH --partition=gpu",
            "#SBATCH --account=lab",
            "#SBATCH --qos=high",
            "#SBATCH --constraint='a100&ib'",
            "#SBATCH --time=30",
            "#SBATCH --signal=USR2@90",
        } <= lines
        assert not any("dependency" in line for line in lines)
        assert "#SBATCH --dependency=afterok:100" in second.splitlines()
        assert "#SBATCH --array" not in second
        # what is trained is in submitit's own files, not in what a shell reads
        assert "touch x" not in first + second
        assert "mmvt_cli" not in first + second
        printed = capsys.readouterr().out.splitlines()
        assert [line.partition(":")[0] for line in printed[::2]] == [
            "job 100_0",
            "job 100_1",
            "job 101",
        ]

    def test_a_cluster_that_refuses_is_one_error(
        self, batches: Path, monkeypatch: pytest.MonkeyPatch
    ):
        job = sized(JOBS["slurm_single"], options())
        (batches.parent / "bin" / "sbatch").write_text(
            "#!/bin/sh\necho no such partition\nexit 1\n"
        )
        with pytest.raises(LaunchError, match="Slurm takes no job: "):
            submit([[TRAINS]], job, options(), "mine")
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(LaunchError, match='Slurm takes no job: Could not detect "srun"'):
            submit([[TRAINS]], job, options(), "mine")


class TestLocalJobs:
    def test_steps_follow_each_other_and_a_failed_step_is_the_last(self, tmp_path: Path):
        steps = [
            [["-c", NOTES, "a $(x)"], ["-c", NOTES, "a $(x)"]],
            [["-c", NOTES, "b"]],
            [["-c", "raise SystemExit(7)"]],
            [["-c", NOTES, "never"]],
        ]
        with handed_over(tmp_path, steps) as process:
            printed, _ = process.communicate(timeout=280)
        assert (tmp_path / "notes").read_text().splitlines() == ["a $(x)", "a $(x)", "b"]
        assert process.returncode == 1
        (log,) = re.findall(r"error: job \d+ failed; see (.*)", printed)
        assert "ended with exit code 7" in Path(log).read_text()
        assert len(re.findall(r"^job \d+: -c ", printed, re.MULTILINE)) == 4

    def test_a_preempted_job_saves_and_is_queued_again(self, tmp_path: Path):
        with handed_over(tmp_path, [[["-c", RESUMES]]]) as process:
            while not (tmp_path / "ready").exists():
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            (log,) = (tmp_path / "runs" / "slurm").glob("*/*_log.out")
            # named after the controller of the job; a cluster signals the node
            os.kill(_node_of(int(log.parent.name)), signal.SIGUSR2)
            process.communicate(timeout=280)
        assert process.returncode == 0
        assert (tmp_path / "resumed").exists()
        assert log.read_text().count("Starting with JobEnvironment") == 2

    def test_nodes_find_each_other(self, tmp_path: Path):
        script = tmp_path / "meet.py"
        script.write_text(
            "import torch, torch.distributed as d\n"
            "d.init_process_group('gloo')\n"
            "total = torch.tensor([d.get_rank() + 1])\n"
            "d.all_reduce(total)\n"
            "open(f'rank{d.get_rank()}', 'w').write(f'{d.get_world_size()} {int(total)}')\n"
            "d.destroy_process_group()\n"
        )
        with handed_over(tmp_path, [[[str(script)]]], nodes=2) as process:
            printed, _ = process.communicate(timeout=280)
        assert process.returncode == 0, printed
        assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["2 3", "2 3"]


def _node_of(controller: int) -> int:
    """Return the process of the only node of a job of this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[1]) == controller:
            return int(folder.name)
    raise AssertionError("the job has no node")
