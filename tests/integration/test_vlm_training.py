"""VLM's masked pre-training through the launcher: one and two processes, stopped and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.how2_standin import VLM, write_how2
from tests.launching import last_checkpoint, notes, spy_on, train, write_project

_V = "| valid |"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_how2(tmp_path_factory.mktemp("how2"))


def run(folder: Path, corpus: Path, *words: str, workers: int) -> str:
    """Train 40 updates, note what each worker sees, and return the output."""
    folder.mkdir()
    spy_on(write_project(folder, VLM.format(corpus=corpus)), "mmvt.tasks.pair_task:PairTask")
    return train(folder, 40, *words, workers=workers)


def has_fallen(values: list[float]) -> bool:
    return len(values) == 40 and sum(values[-8:]) < 0.8 * sum(values[:8])


def test_one_process_trains_its_loss_falls_and_it_is_validated(tmp_path: Path, corpus: Path):
    words = ("fairseq.dataset.disable_validation=false", "fairseq.checkpoint.save_interval=5")
    output = run(tmp_path / "run", corpus, *words, workers=1)
    assert has_fallen([note["loss"] for note in notes(tmp_path / "run")])
    validated = [json.loads(line[line.index("{") :]) for line in output.splitlines() if _V in line]
    assert float(validated[-1]["valid_loss"]) < 0.8 * float(validated[0]["valid_loss"])


@pytest.mark.slow
def test_two_processes_train_as_one_job_and_its_loss_falls(tmp_path: Path, corpus: Path):
    run(tmp_path / "run", corpus, "fairseq.checkpoint.no_save=true", workers=2)
    steps = list(zip(notes(tmp_path / "run", 0), notes(tmp_path / "run", 1), strict=True))
    assert has_fallen([(one["loss"] + two["loss"]) / 2 for one, two in steps])
    assert all(one["weights"] == two["weights"] for one, two in steps)
    assert all(not set(one["ids"]) & set(two["ids"]) for one, two in steps)


@pytest.mark.slow
def test_a_run_stopped_amid_an_epoch_ends_as_a_straight_one(tmp_path: Path, corpus: Path):
    for name, stops in (("straight", [20]), ("resumed", [10, 20])):
        (tmp_path / name).mkdir()
        write_project(tmp_path / name, VLM.format(corpus=corpus))
        for updates in stops:
            train(tmp_path / name, updates)
    one, two = (last_checkpoint(tmp_path / name)["model"] for name in ("straight", "resumed"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
