"""VideoCLIP on groups of near videos, through the launcher: one and two processes, resumed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.how2_standin import VIDEOCLIP, write_how2
from tests.launching import (
    RUN,
    last_checkpoint,
    launch,
    losses,
    notes,
    spy_on,
    succeed,
    train,
    write_project,
)

VIDEOS = 256  # 8 groups of 32: an epoch of one worker is 8 updates, of two workers 4
BATCH = "fairseq.dataset.batch_size"
QUIET = "fairseq.checkpoint.no_save=true"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_how2(tmp_path_factory.mktemp("how2"), VIDEOS)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """Return the folder of a run that was stopped in its second epoch, after 10 updates."""
    folder = tmp_path_factory.mktemp("begun")
    write_project(folder, VIDEOCLIP.format(corpus=corpus))
    train(folder, 10)
    return folder


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """Return the folder of a run of 20 updates."""
    folder = tmp_path_factory.mktemp("straight")
    write_project(folder, VIDEOCLIP.format(corpus=corpus))
    train(folder, 20)
    return folder


def spied(folder: Path, corpus: Path, options: str, *words: str, workers: int) -> Path:
    """Train 20 updates, note what each worker sees, and return the folder."""
    folder.mkdir()
    project = write_project(folder, VIDEOCLIP.format(corpus=corpus))
    spy_on(project, "mmvt.tasks.retrieval_task:RetrievalTask", options)
    train(folder, 20, QUIET, *words, workers=workers)
    return folder


def groups(folder: Path, epoch: int) -> list[list[str]]:
    """Return the videos of each group that was written for an epoch."""
    with np.load(folder / RUN / "retrieval" / f"epoch_{epoch:04d}.npz") as data:
        return [[f"v{video:04d}" for video in group] for group in data["groups"].tolist()]


def differences(one: object, two: object, path: str = "") -> list[str]:
    """Return where two checkpoints differ, but for times, options and the list of sessions."""
    if isinstance(one, dict) and isinstance(two, dict):
        keys = {*one, *two} - {"previous_training_time", "metrics", "cfg", "optimizer_history"}
        pairs = [(key, one.get(key), two.get(key)) for key in sorted(keys, key=str)]
    elif isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
        pairs = [(number, *both) for number, both in enumerate(zip(one, two, strict=True))]
    elif isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return [] if torch.equal(one, two) else [path]
    else:
        return [] if one == two else [path]
    return [found for key, a, b in pairs for found in differences(a, b, f"{path}/{key}")]


def test_one_process_trains_and_its_loss_falls(tmp_path: Path, corpus: Path):
    write_project(tmp_path, VIDEOCLIP.format(corpus=corpus))
    words = ("--jobtype", "local_single", QUIET, "fairseq.optimization.max_epoch=3")
    values = losses(succeed(tmp_path, *words))
    assert len(values) == 24
    assert sum(values[-4:]) < 0.8 * sum(values[:4])
    found = sorted(path.name for path in (tmp_path / RUN / "retrieval").iterdir())
    assert found == ["epoch_0002.npz", "epoch_0003.npz"]  # and none for an epoch after the last


def test_two_processes_train_and_each_of_their_batches_is_a_group(tmp_path: Path, corpus: Path):
    folder = spied(tmp_path / "run", corpus, "retri_epoch: 3", workers=2)
    steps = list(zip(notes(folder, 0), notes(folder, 1), strict=True))
    assert len(steps) == 20
    assert all(one["weights"] == two["weights"] for one, two in steps)
    means = [(one["loss"] + two["loss"]) / 2 for one, two in steps]
    assert sum(means[-4:]) < 0.8 * sum(means[:4])
    # an epoch is 4 steps; before the third it is random and holds every video once
    seen = [note["ids"] for step in steps for note in step]
    assert len({video for ids in seen[:8] for video in ids}) == VIDEOS
    for epoch in (3, 5):
        assert seen[8 * (epoch - 1) : 8 * epoch] == groups(folder, epoch)


@pytest.mark.slow
@pytest.mark.faults
def test_a_run_stopped_amid_an_epoch_of_groups_ends_as_a_straight_one(
    tmp_path: Path, begun: Path, straight: Path
):
    resumed = shutil.copytree(begun, tmp_path / "resumed")
    assert "@ 10 updates" in train(resumed, 20)
    assert differences(last_checkpoint(straight), last_checkpoint(resumed)) == []
    assert groups(straight, 2) == groups(begun, 2)
    assert groups(straight, 3) == groups(resumed, 3)


@pytest.mark.slow
def test_a_run_stopped_between_epochs_ends_as_a_straight_one(
    tmp_path: Path, corpus: Path, straight: Path
):
    write_project(tmp_path, VIDEOCLIP.format(corpus=corpus))
    train(tmp_path, 16)
    assert not (tmp_path / RUN / "retrieval" / "epoch_0003.npz").exists()
    train(tmp_path, 20)
    assert differences(last_checkpoint(straight), last_checkpoint(tmp_path)) == []


@pytest.mark.slow
def test_two_processes_stopped_amid_an_epoch_end_as_straight_ones(tmp_path: Path, corpus: Path):
    for name in ("straight", "resumed"):
        (tmp_path / name).mkdir()
        write_project(tmp_path / name, VIDEOCLIP.format(corpus=corpus))
    loaded = "fairseq.dataset.num_workers=1"
    train(tmp_path / "straight", 20, workers=2)
    train(tmp_path / "resumed", 10, loaded, workers=2)
    train(tmp_path / "resumed", 20, loaded, workers=2)
    one, two = (last_checkpoint(tmp_path / name) for name in ("straight", "resumed"))
    assert differences(one, two) == []


def test_a_run_that_lost_its_groups_says_so_and_trains_on_no_others(tmp_path: Path, begun: Path):
    folder = shutil.copytree(begun, tmp_path / "run")
    (folder / RUN / "retrieval" / "epoch_0002.npz").unlink()
    done = launch(folder, "--jobtype", "local_single", "fairseq.optimization.max_update=20")
    assert done.returncode == 2
    assert f"error: {RUN}/retrieval/epoch_0002.npz: is missing" in done.stderr
    assert "Resume from a checkpoint of the end of an epoch" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 32], ids=["a group a worker", "a group for both"])
def test_two_processes_that_share_negatives_are_one_of_twice_the_batch(
    size: int, tmp_path: Path, corpus: Path
):
    def run(workers: int) -> Path:
        words = ("head={name: ContrastiveHead, gather: true}", f"{BATCH}={32 // workers}")
        options = f"retri_epoch: 2, num_video_per_batch: {size}"
        return spied(tmp_path / f"{workers}", corpus, options, *words, workers=workers)

    alone, together = run(1), run(2)
    one = notes(alone)
    pairs = list(zip(notes(together, 0), notes(together, 1), strict=True))
    assert [note["ids"] for note in one] == [
        list(dict.fromkeys(a["ids"] + b["ids"])) for a, b in pairs
    ]
    assert [a["loss"] for a, _ in pairs] == [b["loss"] for _, b in pairs]
    values = [note["loss"] for note in one]
    assert [a["loss"] for a, _ in pairs] == pytest.approx(values, rel=0, abs=1e-5)
    assert sum(values[-4:]) < 0.8 * sum(values[:4])
    assert groups(alone, 3) == groups(together, 3)
