"""Tests of the record of a run: what it says, and how one knows that a run has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmvt import run_record
from mmvt.errors import DataError


def begin(folder: Path) -> run_record.Record:
    return run_record.begin(folder, task=Path("a.yaml"), seed=3, workers=2, gpus=["H"])


def test_a_record_says_command_seed_versions_host_and_git(tmp_path: Path):
    begin(tmp_path)
    record = run_record.read(tmp_path)
    assert record is not None
    assert (record["task"], record["seed"], record["workers"]) == ("a.yaml", 3, 2)
    (start,) = record["starts"]
    assert start["command"] == sys.orig_argv
    assert start["host"]["gpus"] == ["H"]
    assert {"python", "torch", "numpy", "transformers"} <= set(start["versions"])
    assert set(start["git"]) == {"project", "mmvt"}
    assert (start["ended"], start["outcome"], start["error"]) == (None, None, None)
    assert run_record.state(record) == "running"


def test_a_run_that_goes_on_has_a_start_more(tmp_path: Path):
    run_record.end(tmp_path, begin(tmp_path), "stopped")
    run_record.end(tmp_path, begin(tmp_path), "failed", ValueError("x" * 9999))
    record = run_record.read(tmp_path)
    assert record is not None
    first, last = record["starts"]
    assert (first["outcome"], first["error"]) == ("stopped", None)
    assert last["error"].startswith("ValueError: xxx")
    assert len(last["error"]) == 2000
    assert run_record.state(record) == "failed"


def test_a_run_whose_process_is_gone_was_killed(tmp_path: Path):
    code = (
        "import os, sys, pathlib; from mmvt import run_record\n"
        "run_record.begin(pathlib.Path(sys.argv[1]), task=pathlib.Path('a'), seed=1, workers=1)\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    record = run_record.read(tmp_path)
    assert record is not None
    assert run_record.state(record) == "killed"
    # another process has its id by now
    record["starts"][0]["process"]["id"] = os.getpid()
    assert run_record.state(record) == "killed"
    record["starts"][0]["host"]["name"] = "another"
    assert run_record.state(record) == "elsewhere"


def test_there_may_be_no_record_but_no_damaged_one(tmp_path: Path):
    assert run_record.read(tmp_path) is None
    for text in ("[]", "{}", json.dumps({"format": 2, "starts": [1]})):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(DataError, match="is no record of a run, or of another version"):
            begin(tmp_path)


def test_the_state_of_a_checkout_is_commit_branch_and_changes(tmp_path: Path):
    assert run_record.git_state(tmp_path) is None
    (tmp_path / "a").write_text("1")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q", "-b", "trunk"], ["add", "a"], [*who, "commit", "-qm", "a"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    state = run_record.git_state(tmp_path)
    assert state is not None
    assert (len(state["commit"]), state["branch"], state["dirty"]) == (40, "trunk", False)
    (tmp_path / "b").write_text("a new file is no change")
    assert run_record.git_state(tmp_path) == state
    (tmp_path / "a").write_text("2")
    assert run_record.git_state(tmp_path) == state | {"dirty": True}
