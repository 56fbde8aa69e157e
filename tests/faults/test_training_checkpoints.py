"""Checkpoints of runs that were killed, damaged on the disk, or go on elsewhere."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmvt.checkpoint import UnsafeCheckpointError, load_safely
from mmvt.errors import CheckpointError
from mmvt.fairseq.saving import LAST, alone, copy_checkpoint, mend, write_checkpoint
from mmvt_cli.train import main as train
from tests.corpus import TASK, write_corpus
from tests.faults.training import ROOT
from tests.trap import Trap

pytestmark = [pytest.mark.faults, pytest.mark.training]

KILLS = 50
# writes checkpoints in the order of a training, and says on a pipe which are done
WRITER = """
import json, os, signal, sys, time
from pathlib import Path
import torch
from mmvt.checkpoint import load_safely
from mmvt.errors import CheckpointError
from mmvt.fairseq.saving import LAST, copy_checkpoint, mend, write_checkpoint

torch.set_num_threads(1)

def write_for_ever(folder, updates, done):
    while True:
        updates += 1
        state = {"model": {"w": torch.full((400_000,), float(updates))}}
        state |= {"optimizer_history": [{"num_updates": updates}]}
        path = folder / f"checkpoint_1_{updates}.pt"
        write_checkpoint(state, path)
        copy_checkpoint(path, folder / "checkpoint_best.pt")
        (folder / f"checkpoint_1_{updates - 2}.pt").unlink(missing_ok=True)
        os.write(done, updates.to_bytes(4, "little"))

folder, begun = Path(sys.argv[1]), 0
for delay in json.loads(sys.argv[2]):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        write_for_ever(folder, begun, write)
    os.close(write)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    done = int.from_bytes(said[-4:], "little") if said else begun
    leftovers = len(list(folder.glob(".*.tmp")))
    mend(folder)
    last = folder / LAST
    content = load_safely(last) if last.exists() else None
    found = content["optimizer_history"][-1]["num_updates"] if content else 0
    whole = content is None or bool((content["model"]["w"] == found).all())
    others = len(list(folder.glob(".*.tmp")))
    print(json.dumps([done, found, whole, leftovers, others]))
    begun = found
"""


def state(updates: int) -> dict[str, object]:
    """Return a small checkpoint."""
    weights = {"mmmodel.w": torch.full((1000,), float(updates))}
    return {"model": weights, "optimizer_history": [{"num_updates": updates}]}


def updates_of(path: Path) -> int:
    return int(load_safely(path)["optimizer_history"][-1]["num_updates"])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run with checkpoints after 2, 4 and 6 updates; the best is of 4."""
    for updates in (2, 4, 6):
        write_checkpoint(state(updates), tmp_path / f"checkpoint_1_{updates}.pt")
    copy_checkpoint(tmp_path / "checkpoint_1_4.pt", tmp_path / "checkpoint_best.pt")
    return tmp_path


def damage(path: Path, how: str) -> None:
    """Cut a file, or change one byte of its weights."""
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[content.index(torch.full((9,), 6.0).numpy().tobytes())] ^= 1
    path.write_bytes(content if how == "flipped" else content[: int(how)])


def test_t25_a_process_killed_fifty_times_leaves_its_newest_checkpoint_whole(tmp_path: Path):
    rng = random.Random(25)
    delays = [rng.uniform(0, 0.08) for _ in range(KILLS)]
    folder = tmp_path / "run"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(folder), json.dumps(delays)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == KILLS
    for finished, found, whole, _, leftovers in outcomes:
        # what was said to be done is there; perhaps the next, which was about to be said
        assert found in (finished, finished + 1)
        assert whole
        assert leftovers == 0
    assert any(begun for *_, begun, _ in outcomes), "no kill came in the midst of writing"
    assert outcomes[-1][1] > 0


@pytest.mark.parametrize("how", ["0", "1", "100", "3000", "flipped"])
def test_t25_a_torn_checkpoint_is_named_and_the_newest_whole_one_takes_its_place(
    run: Path, how: str, caplog: pytest.LogCaptureFixture
):
    damage(run / LAST, how)
    damage(run / "checkpoint_1_6.pt", how)
    with caplog.at_level(logging.WARNING):
        mend(run)
    assert updates_of(run / LAST) == 4
    text = caplog.text
    assert f"skipped: {run / LAST} is " in text
    assert "torn" in text
    assert f"going on from {run / 'checkpoint_1_4.pt'}, after 4 updates" in text


def test_t25_a_run_that_lost_only_its_last_checkpoint_goes_on_from_the_newest(run: Path):
    (run / LAST).unlink()
    mend(run)
    assert updates_of(run / LAST) == 6


def test_t25_a_last_checkpoint_that_is_whole_stays_even_if_others_are_newer(run: Path):
    copy_checkpoint(run / "checkpoint_1_2.pt", run / LAST)  # someone goes back
    mend(run)
    assert updates_of(run / LAST) == 2


def test_t25_a_run_with_none_whole_is_refused_and_one_with_none_at_all_begins(run: Path):
    for path in run.glob("*.pt"):
        damage(path, "100")
    with pytest.raises(CheckpointError, match="none of its checkpoints is whole; remove them") as e:
        mend(run)
    assert all(path.name in str(e.value) for path in run.glob("*.pt"))
    for path in run.glob("*.pt"):
        path.unlink()
    mend(run)
    assert list(run.iterdir()) == []


def test_t25_a_write_that_fails_leaves_the_last_checkpoint_as_it_was(run: Path):
    with pytest.raises(Exception, match="pickle"):
        write_checkpoint({"model": lambda: None}, run / "checkpoint_1_8.pt")
    assert updates_of(run / LAST) == 6
    assert not list(run.glob(".*"))


def test_t16_a_second_training_of_a_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TASK.format(corpus=write_corpus(tmp_path / "corpus", videos=6)))
    run = Path("runs/task/tiny")
    run.mkdir(parents=True)
    with alone(run):
        assert train(["tiny.yaml", "fairseq.common.cpu=true"]) == 2
    said = capsys.readouterr().err
    assert "error: runs/task/tiny/.lock: another process is writing the checkpoints of" in said
    assert [path.name for path in run.iterdir()] == [".lock"]
    with alone(run):  # the lock ends with the training that has it
        pass


def test_t33_a_run_does_not_go_on_from_a_checkpoint_that_would_run_code(run: Path):
    torch.save({"model": Trap(run / "sprung")}, run / LAST)
    with pytest.raises(UnsafeCheckpointError, match=r"checkpoint_last.pt is unsafe"):
        mend(run)
    assert not (run / "sprung").exists()
