"""Tests of ``mmvt runs``: the list, the differences, the picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmvt import run_record
from mmvt_cli.runs import main
from tests.report.conftest import CURVES, write_events

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a training that failed and of one that has a configuration alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    one, other = Path("runs/p/one"), Path("runs/p/other")
    for number, folder in enumerate((one, other)):
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(f"head: {{name: '[b]', t: {number}}}\n")
    record = run_record.begin(one, task=Path("a.yaml"), seed=7, workers=1)
    run_record.end(one, record, "failed", ValueError("x"))
    write_events(one / "tensorboard", CURVES)
    return Path("runs")


def test_runs_are_listed_the_latest_first(runs: Path, capsys: Capture):
    assert main([]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "p/o" in line]
    assert [cell.strip() for cell in lines[0].split("│")][1:7] == [
        "p/one",
        "failed",
        "30",
        "1.5",
        "—",
        "7",
    ]
    assert "p/other" in lines[1]


def test_the_list_is_json_too(runs: Path, capsys: Capture):
    assert main(["list", "runs/p", "--json"]) == 0
    one, other = json.loads(capsys.readouterr().out)
    assert (one["folder"], one["state"], one["seed"]) == ("runs/p/one", "failed", 7)
    assert (other["state"], other["results"]) == (None, {})


def test_a_damaged_record_hides_no_other_run(runs: Path, capsys: Capture):
    Path("runs/p/other/run.json").write_text("[]")
    assert main(["list"]) == 3
    printed = capsys.readouterr()
    assert "p/one" in printed.out
    assert "run.json: is no record of a run" in printed.err


def test_no_runs_are_told(runs: Path, capsys: Capture):
    Path("empty").mkdir()
    assert main(["empty"]) == 0
    assert capsys.readouterr().out == "no runs below empty\n"


def test_two_runs_are_compared(runs: Path, capsys: Capture):
    assert main(["diff", "p/one", "runs/p/other"]) == 0
    rows = [
        [cell.strip() for cell in line.split("│")][1:4]
        for line in capsys.readouterr().out.splitlines()
    ]
    assert ["head.t", "0", "1"] in rows
    assert ["updates", "30", "—"] in rows
    assert main(["diff", "p/one", "p/other", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"] == {"head.t": [0, 1]}


def test_losses_are_drawn(runs: Path, capsys: Capture):
    assert main(["plot", "p/one", "p/other"]) == 0
    assert capsys.readouterr().out == "written to losses.png\n"
    assert Path("losses.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_is_not_there_is_told(runs: Path, capsys: Capture):
    assert main(["plot", "p/gone"]) == 2
    assert "there is no run p/gone, nor runs/p/gone" in capsys.readouterr().err
