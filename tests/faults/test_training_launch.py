"""Faults of launching: real trainings whose YAML, environment and cluster are out to do harm."""

from __future__ import annotations

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
from typing import Any

import pytest

from tests.corpus import write_corpus, write_project
from tests.faults.runs import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.training]

TOKEN = "hf_S3cr3tS3cr3t"
RUN = "runs/$(touch pwned); rm -rf x | touch 'pwned'"
SPY = '''\
import logging, os
from mmvt.tasks.task import Task


class LeakingTask(Task):
    """Says what it should not."""

    def compute(self, model, loss, batch):
        logging.getLogger("leak").warning("the token is %s", os.environ["HF_TOKEN"])
        return super().compute(model, loss, batch)
'''


@contextmanager
def launched(folder: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start the launcher in a process of its own, on the CPU; what is left of it is ended."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    variables |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "300"}
    with subprocess.Popen(
        [sys.executable, str(ROOT / "locallaunch.py"), *words],
        cwd=folder,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def harmful(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return folder and output of a training with a shell in a path and a token around."""
    folder = tmp_path_factory.mktemp("harmful")
    project = write_project(folder, write_corpus(folder / "corpus", videos=6))
    project.with_name("spy.py").write_text(SPY)
    project.write_text(project.read_text() + "plugins: [spy.py]\ntask: LeakingTask\n")
    with launched(
        folder,
        "projects/tiny.yaml",
        "--jobtype=local_single",
        f"fairseq.checkpoint.save_dir={RUN}",
        "fairseq.common.tensorboard_logdir=null",
        "fairseq.common.wandb_project=mine",
        "fairseq.optimization.max_update=2",
        f"prepare=make {TOKEN}",
        HF_TOKEN=TOKEN,
    ) as process:
        printed, _ = process.communicate(timeout=290)
    assert process.returncode == 0, printed
    return folder, printed


def record_of(harmful: tuple[Path, str]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((harmful[0] / RUN / "run.json").read_text())
    return content


def test_t36_a_training_runs_no_shell(harmful: tuple[Path, str]):
    folder, _ = harmful
    assert not list(folder.rglob("pwned"))
    assert (folder / RUN / "checkpoint_last.pt").is_file()
    assert {path.name for path in (folder / "runs").iterdir()} == {Path(RUN).parts[1]}


def test_t39_no_file_and_no_line_of_a_training_holds_the_token(harmful: tuple[Path, str]):
    folder, printed = harmful
    assert "the token is ${oc.env:HF_TOKEN}" in printed
    assert TOKEN not in printed
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"run.json", "train.log", "config.yaml", "checkpoint_last.pt", "tiny.yaml"} <= names
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert "make ${oc.env:HF_TOKEN}" in (folder / RUN / "config.yaml").read_text()


def test_t39_the_record_of_a_run_tells_all_but_secrets(harmful: tuple[Path, str]):
    record = record_of(harmful)
    (first,) = record["starts"]
    assert (record["task"], record["seed"], record["workers"]) == ("projects/tiny/tiny.yaml", 3, 1)
    assert (first["outcome"], first["error"]) == ("finished", None)
    assert first["command"][1:4] == ["-m", "mmvt_cli.train", "projects/tiny/tiny.yaml"]
    assert first["versions"]["torch"].startswith("2.")


def test_t47_without_wandb_a_training_says_so_and_draws_its_curves(harmful: tuple[Path, str]):
    folder, printed = harmful
    assert "wandb is not installed: the curves go to TensorBoard alone" in printed
    parts = {path.name for path in (folder / RUN / "tensorboard").iterdir()}
    assert parts == {"train", "train_inner", "valid"}


@pytest.mark.slow
def test_t30_a_preempted_job_of_a_cluster_goes_on_where_it_was(tmp_path: Path):
    """The cluster is submitit's of this machine; signal, training and queue are real."""
    write_project(tmp_path, write_corpus(tmp_path / "corpus", videos=6))
    run = tmp_path / "runs" / "tiny" / "tiny"
    with launched(
        tmp_path,
        "projects/tiny.yaml",
        "--jobtype=slurm_single",
        "--cluster=local",
        "fairseq.optimization.max_update=40",
        "fairseq.checkpoint.save_interval_updates=1",
        "fairseq.checkpoint.save_interval=1000",
        "fairseq.checkpoint.keep_interval_updates=1",
    ) as process:
        while not list(run.glob("checkpoint_*.pt")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        (log,) = (tmp_path / "runs" / "slurm").glob("*/*_log.out")
        os.kill(_child_of(int(log.parent.name)), signal.SIGUSR2)
        printed, _ = process.communicate(timeout=290)
    errors = log.with_suffix(".err").read_text()
    assert process.returncode == 0, printed + errors
    updates = [int(number) for number in re.findall(r'"num_updates": "(\d+)"', errors)]
    assert updates[-1] == 40
    first, second = json.loads((run / "run.json").read_text())["starts"]
    assert (first["outcome"], second["outcome"]) == ("stopped", "finished")
    assert first["process"] != second["process"]
    # nothing is trained again but what came after the last checkpoint
    assert "Loaded checkpoint" in errors


def _child_of(parent: int) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[1]) == parent:
            return int(folder.name)
    raise AssertionError("the job runs nothing")
