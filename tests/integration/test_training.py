"""Training through the launcher: real processes, one and two of them, stopped and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmvt.checkpoint import load_state
from tests.corpus import write_corpus, write_project
from tests.launching import launch, losses, notes, spy_on, succeed

TRAIN_VIDEOS = 16  # of the corpus of 24


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


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
    spy_on(project)
    output = succeed(tmp_path, "--jobtype", "local_small", "fairseq.optimization.max_update=4")
    first, second = (notes(tmp_path, rank) for rank in (0, 1))
    # 4 batches an epoch are 2 updates of 2 workers: after 2 epochs each saw half, together all
    assert len(first) == len(second) == 4
    for epoch in (slice(0, 2), slice(2, 4)):
        seen = [str(i) for note in (*first[epoch], *second[epoch]) for i in note["ids"]]
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
