"""``mmvt store convert`` of VPT's data: what it prints, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.store import FeatureStore
from mmvt_cli import store
from tests.vpt_data import spoken, write_columns, write_files


def test_segments_become_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_columns(tmp_path / "vpt", spoken({"v.mp4": ["one", "two"]}, dim=2, tokens=10))
    argv = ["convert", str(folder), str(tmp_path / "out"), "--grid", "3"]
    assert store.main(argv) == 0
    assert capsys.readouterr().out == "2 segments of 1 videos (0 there already), 0 failed\n"
    assert FeatureStore.open(tmp_path / "out" / "frames")["v.mp4"].shape == (2, 9, 2)
    assert store.main(argv) == 0
    assert "2 segments of 1 videos (1 there already), 0 failed" in capsys.readouterr().out


@pytest.mark.faults
def test_segments_that_fail_are_listed_with_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    segments = spoken({"v.mp4": [f"word{n}" for n in range(60)]}, dim=2, tokens=17)
    for segment in segments[2:54]:
        segment.wrong = {"done_text_encode": False}
    del segments[-1]
    folder = write_columns(tmp_path / "vpt", segments)
    assert store.main(["convert", str(folder), str(tmp_path / "out")]) == 3
    output = capsys.readouterr().out
    assert "v.npz: row 51" in output
    assert "v.npz: row 52" not in output
    assert "... and 2 more\n" in output
    assert f"all of them are in {tmp_path / 'out' / 'failures.jsonl'}\n" in output
    assert "1 segments that the source counts are not in it\n" in output
    assert output.endswith("7 segments of 1 videos (0 there already), 52 failed\n")
    lines = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["source"] for line in lines][-1] == "v.npz: row 53"
    argv = ["convert", str(folder), str(tmp_path / "all"), "--undone"]
    assert store.main(argv) == 0


@pytest.mark.faults
def test_a_source_of_which_nothing_can_be_read_is_listed_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "vpt").mkdir()
    (tmp_path / "vpt" / "v.npz").touch()
    argv = ["convert", str(tmp_path / "vpt"), str(tmp_path / "out"), "--grid", "2"]
    assert store.main(argv) == 3
    output = capsys.readouterr().out
    assert "v.npz" in output
    assert output.endswith("0 segments of 0 videos (0 there already), 1 failed\n")


@pytest.mark.faults
def test_options_that_mean_nothing_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_files(tmp_path / "vpt", spoken({"v.mp4": ["one"]}))
    argv = ["convert", str(folder), str(tmp_path / "out")]
    assert store.main([*argv, "--fps", "2", "--dtype", "float32"]) == 2
    assert "--fps, --dtype: not for data of VPT" in capsys.readouterr().err
    assert store.main([*argv, "--grid", "0"]) == 2
    assert "--grid is 0, but must be at least 1" in capsys.readouterr().err
    np.save(tmp_path / "vpt" / "x.npy", np.ones((2, 2), np.float16))
    assert store.main([*argv, "--grid", "2"]) == 2
    assert "--grid and --undone are for data of VPT" in capsys.readouterr().err


@pytest.mark.faults
def test_npz_among_other_features_is_left_alone(tmp_path: Path):
    folder = write_files(tmp_path / "vpt", spoken({"v.mp4": ["one"]}))
    np.save(folder / "x.npy", np.ones((2, 2), np.float16))
    assert store.main(["convert", str(folder), str(tmp_path / "out")]) == 0
    assert list(FeatureStore.open(tmp_path / "out").ids) == ["x"]
