"""Runs of the launcher in processes of their own, and what can be read of them afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
RUN = Path("runs", "tiny", "tiny")

# writes down what every worker sees: the videos of each batch, its loss, a checksum of the weights
SPY = """\
import json, os
from {module} import {base}


class SpyingTask({base}):
    \"\"\"Notes the batches and weights of this worker.\"\"\"

    def compute(self, model, loss, batch):
        weights = sum(float(p.detach().double().abs().sum()) for p in model.parameters())
        value, outputs = super().compute(model, loss, batch)
        ids = list(dict.fromkeys(batch["video_id"]))  # once a video, or once a clip of it
        note = {{"ids": ids, "loss": float(value.detach()), "weights": weights}}
        if model.training:
            with open(f"worker{{os.environ.get('RANK', '0')}}.jsonl", "a") as file:
                file.write(json.dumps(note) + "\\n")
        return value, outputs
"""


def write_project(folder: Path, task: str) -> Path:
    """Write the project ``tiny`` of one task; return the path of its YAML."""
    (folder / "projects" / "task").mkdir(parents=True)
    (folder / "projects" / "task" / "tiny.yaml").write_text(task)
    project = folder / "projects" / "tiny.yaml"
    project.write_text(
        "project_dir: tiny\nbase_dir: task\ntask_group:\n  pretrain:\n    task_list: [tiny.yaml]\n"
    )
    return project


def spy_on(project: Path, base: str = "mmvt.tasks.task:Task", options: str = "") -> None:
    """Have a project's task note what it sees; see :func:`notes`.

    Args:
        project: its YAML.
        base: module and class of the task.
        options: its fields in YAML.
    """
    module, _, name = base.partition(":")
    project.with_name("spy.py").write_text(SPY.format(module=module, base=name))
    task = f"task: {{name: SpyingTask, {options}}}\n"
    project.write_text(project.read_text() + "plugins: [spy.py]\n" + task)


def launch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher in ``folder`` on the CPU and return what it printed."""
    # one thread each: several wait for one another where tests run side by side
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "locallaunch.py"), "projects/tiny.yaml", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def succeed(folder: Path, *words: str) -> str:
    """Run the launcher as :func:`launch` does, and return its output; it must not fail."""
    done = launch(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def train(folder: Path, updates: int, *words: str, workers: int = 1) -> str:
    """Train up to a number of updates, going on where the last run ended; return the output."""
    jobtype = {1: "local_single", 2: "local_small"}[workers]
    return succeed(
        folder, "--jobtype", jobtype, f"fairseq.optimization.max_update={updates}", *words
    )


def losses(output: str) -> list[float]:
    """Return the training losses of fairseq's JSON log lines, update by update."""
    lines = [line for line in output.splitlines() if "train_inner" in line]
    return [float(json.loads(line[line.index("{") :])["loss"]) for line in lines]


def notes(folder: Path, rank: int = 0) -> list[dict[str, Any]]:
    """Return what a spied-on worker saw, step by step."""
    return [json.loads(line) for line in (folder / f"worker{rank}.jsonl").read_text().splitlines()]


def last_checkpoint(folder: Path) -> dict[str, Any]:
    """Return all that the last checkpoint of a run holds."""
    state: dict[str, Any] = torch.load(folder / RUN / "checkpoint_last.pt", weights_only=True)
    return state


def forget_run() -> None:
    """Forget what fairseq keeps for a process, where one trains several tasks."""
    from fairseq import checkpoint_utils
    from fairseq.logging import progress_bar

    vars(checkpoint_utils.save_checkpoint).pop("best", None)  # the best score
    for writer in progress_bar._tensorboard_writers.values():
        writer.close()
    progress_bar._tensorboard_writers.clear()
