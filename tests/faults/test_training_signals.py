"""Trainings that are asked to stop, and trainings whose loss is no number: real signals."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.corpus import write_corpus
from tests.faults.training import (
    RUN,
    Ended,
    differences,
    last_checkpoint,
    mishap,
    seen,
    start,
    train,
    updates,
    write_run,
)

pytestmark = [pytest.mark.faults, pytest.mark.training, pytest.mark.timeout(900)]

AHEAD = ("fairseq.dataset.num_workers=1", "fairseq.dataset.data_buffer_size=2")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> tuple[Path, Ended]:
    """Return a run that SIGTERM stopped in its tenth update, amid an epoch, and how it ended."""
    folder = write_run(tmp_path_factory.mktemp("stopped"), corpus)
    begun = start(folder, updates(20), mishap("hold", at=10), *AHEAD)
    begun.wait_for("hold0")
    begun.signal_all_and_go(signal.SIGTERM)
    return folder, begun.end()


def test_t30_sigterm_saves_at_the_next_update_and_ends_with_143(stopped: tuple[Path, Ended]):
    folder, ended = stopped
    assert ended.code == 143, ended.output
    assert "stopped by SIGTERM, and saved" in ended.output
    state = last_checkpoint(folder)
    assert state["optimizer_history"][-1]["num_updates"] == 10
    assert state["extra_state"]["train_iterator"]["iterations_in_epoch"] == 2
    record = json.loads((folder / RUN / "run.json").read_text())
    assert record["starts"][-1]["outcome"] == "stopped"


@pytest.mark.slow
def test_t26_ten_updates_and_ten_after_a_stop_are_twenty_straight_bit_for_bit(
    stopped: tuple[Path, Ended], tmp_path: Path, corpus: Path
):
    folder = shutil.copytree(stopped[0], tmp_path / "resumed")
    resumed = train(folder, updates(20), *AHEAD)
    assert resumed.code == 0, resumed.output
    assert "@ 10 updates" in resumed.output
    straight = write_run(tmp_path / "straight", corpus)
    assert train(straight, updates(20)).code == 0
    assert differences(last_checkpoint(straight), last_checkpoint(folder)) == []
    # loaded ahead and dropped at the stop, they come again
    assert seen(folder) == seen(straight)


@pytest.mark.slow
def test_t26_a_run_that_is_complete_makes_no_further_update(
    stopped: tuple[Path, Ended], tmp_path: Path
):
    folder = shutil.copytree(stopped[0], tmp_path / "complete")
    before = last_checkpoint(folder)
    ended = train(folder, updates(10))
    assert ended.code == 0, ended.output
    assert "all 10 updates are made" in ended.output
    assert differences(before, last_checkpoint(folder)) == []


def test_t29_a_loss_that_is_no_number_ends_the_run_and_its_videos_are_in_a_file(
    tmp_path: Path, corpus: Path
):
    folder = write_run(tmp_path / "run", corpus)
    ended = train(folder, updates(8), mishap("nan", at=4))
    assert ended.code == 2
    path = RUN / "nonfinite_loss" / "update_00000004_worker_0.json"
    assert (
        f"error: the loss of update 4 is not finite; the videos of this worker are in {path}"
        in (ended.output)
    )
    written = json.loads((folder / path).read_text())
    (batch,) = written["batches"]
    assert batch["loss"] == "nan"
    assert [name.replace("video ", "v") for name in batch["video_ids"]] == seen(folder)[3]
    # the last checkpoint, of update 2, is whole and of before
    assert last_checkpoint(folder)["optimizer_history"][-1]["num_updates"] == 2


@pytest.mark.slow
def test_t29_an_update_of_a_bad_loss_is_left_out_where_that_is_asked_for(
    tmp_path: Path, corpus: Path
):
    folder = write_run(tmp_path / "run", corpus)
    left_out = train(folder, updates(4), mishap("nan", 2), "fairseq.optimization.most_bad_losses=2")
    assert left_out.code == 0, left_out.output
    assert "the update is left out" in left_out.output
    state = last_checkpoint(folder)
    assert state["optimizer_history"][-1]["num_updates"] == 4
    assert all(weight.isfinite().all() for weight in state["model"].values())
