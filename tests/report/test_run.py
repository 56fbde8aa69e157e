from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.report.run import read_run
from tests.report.conftest import CURVES, random_predictions, write_evaluation, write_events
from tests.retrieval_cases import predictions_of


def test_a_whole_run_is_read(whole: Path):
    run = read_run(whole)
    assert run.config == "head: ContrastiveHead\n"
    assert run.training is not None
    assert set(run.training.curves) == {
        "train_inner/loss",
        "train_inner/lr",
        "train/loss",
        "valid/loss",
    }
    assert [one.name for one in run.evaluations] == ["eval", "eval_initial"]
    assert [one.label for one in run.evaluations] == [None, "initial weights"]
    assert run.evaluations[0].predictions is not None
    assert run.other_results == {}


def test_curves_leave_out_what_is_no_number(trained: Path):
    training = read_run(trained).training
    assert training is not None
    curve = training.curves["valid/loss"]
    assert curve.steps.tolist() == [10, 30]
    assert curve.values.tolist() == [2.5, 1.5]


def test_long_curves_keep_their_ends(tmp_path: Path):
    points = [(step, float(step)) for step in range(2000)]
    write_events(tmp_path / "tensorboard", {"train_inner": {"loss": points}})
    training = read_run(tmp_path).training
    assert training is not None
    curve = training.curves["train_inner/loss"]
    assert len(curve.steps) == 600
    assert (curve.steps[0], curve.steps[-1]) == (0, 1999)
    assert np.array_equal(curve.steps, curve.values)


def test_events_are_found_where_the_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_events(Path("elsewhere"), {"train": CURVES["train"]})
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("fairseq: {common: {tensorboard_logdir: elsewhere}}\n")
    training = read_run(run).training
    assert training is not None
    assert list(training.curves) == ["train/loss"]


def test_an_evaluation_alone_and_a_folder_of_results_are_runs(tmp_path: Path):
    write_evaluation(tmp_path / "run" / "eval", random_predictions())
    for folder in (tmp_path / "run", tmp_path / "run" / "eval"):
        run = read_run(folder)
        assert run.training is None
        assert run.config == ""
        assert [one.name for one in run.evaluations] == ["eval"]


def test_results_of_other_splits_and_metrics_stand_apart(whole: Path):
    write_evaluation(whole / "eval_valid", predictions_of(np.eye(3)))
    (whole / "eval_mc").mkdir()
    (whole / "eval_mc" / "results.json").write_text('{"accuracy": 0.5}')
    run = read_run(whole)
    assert [one.name for one in run.evaluations] == ["eval", "eval_initial"]
    assert set(run.other_results) == {"eval_valid", "eval_mc"}


def test_results_without_predictions_are_read(whole: Path):
    (whole / "eval" / "predictions.npz").unlink()
    assert read_run(whole).evaluations[0].predictions is None


@pytest.mark.faults
def test_nothing_to_report_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="there is no such folder"):
        read_run(tmp_path / "absent")
    with pytest.raises(DataError, match=r"holds neither results .* nor events"):
        read_run(tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("content", "message"), [("{", "is no JSON"), (json.dumps([1]), "holds no results")]
)
def test_damaged_results_are_named(tmp_path: Path, content: str, message: str):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "results.json").write_text(content)
    with pytest.raises(DataError, match=rf"eval/results\.json: {message}"):
        read_run(tmp_path)


@pytest.mark.faults
def test_damaged_predictions_are_named(whole: Path):
    shutil.copy(whole / "config.yaml", whole / "eval" / "predictions.npz")
    with pytest.raises(DataError, match=r"eval/predictions\.npz: damaged"):
        read_run(whole)
