"""Several workers: one that dies, fails or freezes, an uneven end, and other numbers of them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.corpus import write_corpus
from tests.faults.training import (
    DEADLINE,
    MARGIN,
    Ended,
    Started,
    last_checkpoint,
    mishap,
    seen,
    start,
    train,
    updates,
    write_run,
)

pytestmark = [pytest.mark.faults, pytest.mark.training, pytest.mark.timeout(900)]

IN_THREES = ("--split", "train", "predictor={name: RetrievalPredictor, batch_size: 3}")
BATCH = "fairseq.dataset.batch_size"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), videos=25)  # 17 to train with


def failed(folder: Path, what: str, *words: str) -> Ended:
    """Return how two workers ended, the second of which met with a mishap."""
    begun = start(folder, updates(1000), mishap(what, at=3, worker=1), *words, workers=2)
    begun.wait_for(f"{what}1")
    ended = begun.end_within(MARGIN * DEADLINE)
    assert ended.code not in (0, 143), ended.output
    return ended


def test_t28_a_worker_that_is_killed_ends_the_job(tmp_path: Path, corpus: Path):
    ended = failed(write_run(tmp_path, corpus), "die")
    assert "error: worker 0: another worker has ended" in ended.output or (
        "Signal 9 (SIGKILL)" in ended.output
    )
    assert "exitcode  : -9" in ended.output


@pytest.mark.slow
def test_t28_a_worker_with_an_example_that_cannot_be_read_ends_the_job(
    tmp_path: Path, corpus: Path
):
    ended = failed(write_run(tmp_path, corpus), "raise")
    assert "error: video 'v9': cannot be read" in ended.output


@pytest.mark.slow
def test_t28_a_worker_that_answers_no_more_ends_the_job(tmp_path: Path, corpus: Path):
    timeout = "fairseq.distributed_training.worker_timeout=10"
    ended = failed(write_run(tmp_path, corpus), "freeze", timeout)
    assert "error: worker 0: another worker has ended, or has not answered for 10 s" in ended.output


@pytest.mark.slow
def test_t29_a_loss_that_is_no_number_on_one_worker_ends_all(tmp_path: Path, corpus: Path):
    folder = write_run(tmp_path, corpus)
    ended = failed(folder, "nan")
    assert "error: the loss of update 3 is not finite" in ended.output
    assert "error: a gradient, or the loss of another worker, of update 3" in ended.output
    names = sorted(path.name for path in folder.glob("runs/*/*/nonfinite_loss/*"))
    assert names == [f"update_00000003_worker_{rank}.json" for rank in (0, 1)]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> tuple[Path, Ended]:
    """Return a run of two workers with shared negatives that SIGTERM stopped amid an epoch."""
    folder = write_run(
        tmp_path_factory.mktemp("two"), corpus, "head: {name: ContrastiveHead, gather: true}\n"
    )
    held = mishap("hold", at=7)
    begun = start(folder, updates(1000), held, f"{BATCH}=2", workers=2)
    begun.wait_for("hold0", "hold1")
    begun.signal_and_go(signal.SIGTERM)
    return folder, begun.end()


@pytest.mark.slow
def test_t30_two_workers_save_and_the_launcher_returns_143(stopped: tuple[Path, Ended]):
    folder, ended = stopped
    assert ended.code == 143, ended.output
    assert ended.output.count("stopped by SIGTERM, and saved") == 1
    assert last_checkpoint(folder)["optimizer_history"][-1]["num_updates"] in (7, 8)


@pytest.mark.slow
def test_t28_at_an_uneven_end_of_an_epoch_no_old_batch_is_repeated(stopped: tuple[Path, Ended]):
    folder, _ = stopped
    steps = list(zip(seen(folder, 0), seen(folder, 1), strict=True))[:5]
    assert [[len(share) for share in step] for step in steps] == [[2, 2]] * 4 + [[1, 1]]
    every = [video for step in steps for share in step for video in share]
    # 17 videos: the last step has one, and the first of the epoch beside it
    assert len(set(every[:-1])) == 17
    assert every[-1] == every[0]


@pytest.mark.slow
def test_t27_another_number_of_workers_goes_on_if_a_step_has_as_many_examples(
    stopped: tuple[Path, Ended],
):
    folder, _ = stopped
    done = last_checkpoint(folder)["optimizer_history"][-1]["num_updates"]
    two = [a + b for a, b in zip(seen(folder, 0), seen(folder, 1), strict=True)]
    refused = train(folder, updates(10), f"{BATCH}=2")
    assert refused.code == 2
    assert "error: runs/tiny/tiny: epoch 2 was begun with other batches" in refused.output
    (folder / "seen0.txt").unlink()
    gone_on = train(folder, updates(10), f"{BATCH}=4")
    assert gone_on.code == 0, gone_on.output
    one = two[:done] + seen(folder)
    assert len(one) == 10
    # a step takes the next four videos of the epoch, whoever takes them
    for epoch in (one[:5], one[5:]):
        assert len({video for step in epoch for video in step}) == 17


def predict(folder: Path, workers: int, *words: str) -> tuple[bytes, bytes]:
    """Evaluate with some workers; return what was written."""
    out = folder / f"out{workers}"
    command = [sys.executable, "-m", "mmvt_cli.predict", "projects/tiny/tiny.yaml", "--checkpoint"]
    command += ["none", "--workers", str(workers), "--out", str(out), *words]
    ended = Started(folder, command).end()
    assert ended.code == 0, ended.output
    assert ended.output.count("written to") == 1
    return (out / "predictions.npz").read_bytes(), (out / "results.json").read_bytes()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> tuple[Path, bytes, bytes]:
    """Return a project's folder, and what one worker writes: 17 videos with two captions each."""
    folder = write_run(tmp_path_factory.mktemp("evaluated"), corpus)
    return folder, *predict(folder, 1, *IN_THREES)


@pytest.mark.parametrize("workers", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 8))])
def test_t15_any_number_of_workers_writes_the_same_bytes(
    evaluated: tuple[Path, bytes, bytes], workers: int
):
    folder, *alone = evaluated
    # 34 pairs are 12 batches, the last of one pair: an uneven share for each number of workers
    assert [*predict(folder, workers, *IN_THREES)] == alone
