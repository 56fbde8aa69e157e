"""Training through the launcher: real processes, one and two of them, stopped and resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmvt.checkpoint import load_state
from tests.corpus import write_corpus, write_project

ROOT = Path(__file__).resolve().parents[2]
TRAIN_VIDEOS = 16  # of the corpus of 24

# writes down what every worker sees: the videos of each batch and a checksum of the weights
SPY = """\
import json, os
from mmvt.tasks.task import Task


class SpyingTask(Task):
    \"\"\"Notes the batches and weights of this worker.\"\"\"

    def compute(self, model, loss, batch):
        weights = sum(float(p.detach().double().abs().sum()) for p in model.parameters())
        note = {"ids": batch["video_id"], "weights": weights, "training": model.training}
        with open(f"worker{os.environ.get('RANK', '0')}.jsonl", "a") as file:
            file.write(json.dumps(note) + "\\n")
        return super().compute(model, loss, batch)
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def launch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher in ``folder`` on the CPU and return what it printed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, str(ROOT / "locallaunch.py"), "projects/tiny.yaml", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def succeed(folder: Path, *words: str) -> str:
    done = launch(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def notes(path: Path) -> list[dict[str, object]]:
    return [
        note for line in path.read_text().splitlines() if (note := json.loads(line))["training"]
    ]


def losses(output: str) -> list[float]:
    """Return the training losses of fairseq's JSON log lines, update by update."""
    lines = [line for line in output.splitlines() if "train_inner" in line]
    return [float(json.loads(line[line.index("{") :])["loss"]) for line in lines]


def test_one_process_trains_and_its_loss_falls(tmp_path: Path, corpus: Path):
    write_project(tmp_path, corpus)
    output = succeed(tmp_path, "--jobtype", "local_single", "fairseq.optimization.max_update=24")
    values = losses(output)
    assert len(values) == 24
    assert sum(values[-4:]) < 0.8 * sum(values[:4])
    run = tmp_path / "runs" / "tiny" / "tiny"
    assert (run / "checkpoint_last.pt").is_file()
    assert (run / "checkpoint_best.pt").is_file()
    assert "StoreVideoProcessor" in (run / "config.yaml").read_text()
    rates = [
        json.loads(line[line.index("{") :]) for line in output.splitlines() if "train_inner" in line
    ]
    assert float(rates[0]["train_lr"] if "train_lr" in rates[0] else rates[0]["lr"]) > 0


def test_a_run_stopped_and_resumed_ends_bit_equal_to_a_straight_one(tmp_path: Path, corpus: Path):
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    for folder in (straight, resumed):
        folder.mkdir()
        write_project(folder, corpus)
    succeed(straight, "--jobtype", "local_single", "fairseq.optimization.max_update=10")
    # 6 is in the middle of the second epoch of 4 updates
    succeed(resumed, "--jobtype", "local_single", "fairseq.optimization.max_update=6")
    output = succeed(resumed, "--jobtype", "local_single", "fairseq.optimization.max_update=10")
    assert "@ 6 updates" in output
    last = "runs/tiny/tiny/checkpoint_last.pt"
    one, two = load_state(straight / last), load_state(resumed / last)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_two_processes_are_one_job(tmp_path: Path, corpus: Path):
    project = write_project(tmp_path, corpus)
    (tmp_path / "projects" / "spy.py").write_text(SPY)
    project.write_text(project.read_text() + "plugins: [spy.py]\ntask: SpyingTask\n")
    output = succeed(tmp_path, "--jobtype", "local_small", "fairseq.optimization.max_update=4")
    first, second = (notes(tmp_path / f"worker{rank}.jsonl") for rank in (0, 1))
    # 4 batches an epoch are 2 updates of 2 workers: after 2 epochs each saw half, together all
    assert len(first) == len(second) == 4
    for epoch in (slice(0, 2), slice(2, 4)):
        seen = [str(i) for note in (*first[epoch], *second[epoch]) for i in note["ids"]]  # type: ignore[attr-defined]
        assert len(seen) == len(set(seen)) == TRAIN_VIDEOS
    assert [note["weights"] for note in first] == [note["weights"] for note in second]
    assert output.count("Saved checkpoint") == len(set(_saved(output)))
    assert "no GPU is visible; 2 processes train on the CPU (gloo)" in output


def _saved(output: str) -> list[str]:
    return [
        line.split("Saved checkpoint ")[1].split()[0]
        for line in output.splitlines()
        if "Saved checkpoint" in line
    ]


def test_an_aligner_in_a_file_of_ones_own_trains_from_yaml_alone(tmp_path: Path, corpus: Path):
    project = write_project(tmp_path, corpus)
    (tmp_path / "projects" / "mine.py").write_text(
        "from pathlib import Path\n"
        "from mmvt.processors.aligners.sampled import SampledAligner\n"
        "from mmvt.processors.base import Layout\n"
        "from mmvt.processors.sampling import WholeSampler\n\n\n"
        "class MyAligner(SampledAligner):\n"
        '    """The whole video and its first caption, noted in a file.\n\n'
        '    Args:\n        layout: writes tensors.\n        note: a file.\n    """\n\n'
        "    def __init__(self, *, layout: Layout, note: Path) -> None:\n"
        "        super().__init__(sampler=WholeSampler(), layout=layout)\n"
        "        note.write_text('used')\n"
    )
    project.write_text(
        project.read_text() + "plugins: [mine.py]\ndataset: {aligner: MyAligner, note: note.txt, "
        "sampled_min_len: null, sampled_max_len: null}\n"
    )
    succeed(tmp_path, "--jobtype", "local_single", "fairseq.optimization.max_update=2")
    assert (tmp_path / "note.txt").read_text() == "used"


def test_absent_data_names_the_command_that_makes_it(tmp_path: Path):
    project = write_project(tmp_path, tmp_path / "nowhere")
    project.write_text(project.read_text() + "prepare: mmvt demo data\n")
    done = launch(tmp_path, "--jobtype", "local_single")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "make it with: mmvt demo data" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_failing_job_gives_the_launcher_its_exit_code(tmp_path: Path, corpus: Path):
    write_project(tmp_path, corpus)
    done = launch(tmp_path, "--jobtype", "local_single", "fairseq.optimization.max_epcoh=1")
    assert done.returncode == 2
    assert "did you mean 'max_epoch'?" in done.stderr
