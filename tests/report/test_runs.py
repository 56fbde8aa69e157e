"""Tests of runs side by side: what a line says of one, how two differ, and their picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmvt import run_record
from mmvt.errors import DataError
from mmvt.report.runs import compare, find_runs, latest, plot_losses, summarise
from tests.report.conftest import CURVES, write_events


def write_run(folder: Path, config: str, seed: int, outcome: str | None = None) -> Path:
    """Write a run of a training, with curves and results of retrieval."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    record = run_record.begin(folder, task=Path("a.yaml"), seed=seed, workers=1)
    if outcome:
        run_record.end(folder, record, outcome)
    write_events(folder / "tensorboard", CURVES)
    (folder / "eval").mkdir()
    results = {
        "text_to_video": {"R@1": 0.5 + seed, "chance": {"R@1": 0.1}},
        "protocol": {"split": "test", "seed": seed},
    }
    (folder / "eval" / "results.json").write_text(json.dumps(results))
    return folder


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    one = write_run(tmp_path / "runs" / "a" / "one", "head: {name: X, t: 1}\n", 1, "finished")
    other = write_run(tmp_path / "runs" / "a" / "two", "head: {name: X, t: 2}\nloss: L\n", 2)
    return one, other


def test_a_line_says_state_updates_best_loss_result_and_seed(two: tuple[Path, Path]):
    one = summarise(two[0])
    assert (one.state, one.seed, one.updates) == ("finished", 1, 30)
    assert one.best_loss == 1.5
    assert one.results == {"eval.text_to_video.R@1": 1.5}
    assert one.main_result == ("text_to_video.R@1", 1.5)
    assert summarise(two[1]).state == "running"


def test_a_run_without_a_record_is_one_by_its_configuration(trained: Path):
    run = summarise(trained)
    assert (run.state, run.seed, run.updates, run.main_result) == (None, None, 30, None)
    assert run.began is not None


def test_folders_without_a_run_are_left_out(two: tuple[Path, Path], tmp_path: Path):
    (tmp_path / "runs" / "slurm" / "1").mkdir(parents=True)
    assert find_runs(tmp_path / "runs") == [*two]
    assert [run.folder for run in latest([summarise(path) for path in two])][-1] in two


def test_what_is_no_run_is_told(tmp_path: Path):
    with pytest.raises(DataError, match="is no folder of a run: there is no run.json"):
        summarise(tmp_path)
    with pytest.raises(DataError, match="there is no such folder of runs"):
        find_runs(tmp_path / "gone")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match=r"run.json: cannot be read: "):
        summarise(tmp_path)


def test_two_runs_differ_by_keys_facts_and_figures(two: tuple[Path, Path]):
    difference = compare(*map(summarise, two))
    assert difference.config == {"head.t": (1, 2), "loss": (None, "L")}
    assert difference.facts == {"seed": (1, 2)}
    assert difference.results == {
        "best valid loss": (1.5, 1.5),
        "updates": (30, 30),
        "eval.text_to_video.R@1": (1.5, 2.5),
    }


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_the_losses_of_several_runs_are_one_picture(
    two: tuple[Path, Path], tmp_path: Path, name: str, start: bytes
):
    plot_losses([summarise(path) for path in two], tmp_path / name)
    picture = (tmp_path / name).read_bytes()
    assert picture.startswith(start)
    if name == "a.svg":
        assert b"<!-- one -->" in picture
        assert b"<!-- two -->" in picture


def test_a_picture_needs_curves_and_a_known_kind(two: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(DataError, match=r"a.bmp: must end in .png or .svg"):
        plot_losses([summarise(two[0])], tmp_path / "a.bmp")
    (tmp_path / "config.yaml").write_text("head: X\n")
    with pytest.raises(DataError, match="none of the runs has curves"):
        plot_losses([summarise(tmp_path)], tmp_path / "a.png")


def test_reading_runs_needs_no_torch():
    code = "import mmvt.report.runs, mmvt_cli.runs, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
