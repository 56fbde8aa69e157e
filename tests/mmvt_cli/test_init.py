"""Tests of the starter project."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest

from mmvt.processors.caption_file import read_captions
from mmvt_cli.init import FILES, main
from mmvt_cli.launch import main as launch


def test_a_starter_is_sound_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "my videos"
    assert main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert f"  cd '{folder}'\n" in printed
    monkeypatch.chdir(folder)
    # the last command it prints, and the data that it asks for
    words = shlex.split(printed.splitlines()[-1])
    assert words[:2] == ["mmvt", "launch"]
    assert launch(words[2:]) == 2
    error = capsys.readouterr().err
    assert "there is no feature store" in error
    assert "; make it with: mmvt extract videos --encoder " in error
    assert launch([*words[2:], "--dryrun"]) == 0
    assert Path("projects/mine/videoclip.yaml").is_file()
    assert set(read_captions(Path("captions.csv"))) == {"dog.mp4", "cat.mp4"}
    assert next(csv.reader(FILES["captions.csv"].splitlines())) == [
        "video",
        "caption",
        "start",
        "end",
        "split",
    ]


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten_and_nothing_else_written(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
):
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    own.write_text("mine")
    assert main([str(tmp_path)]) == 2
    assert f"error: {own}: already there, and not overwritten" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]
    assert own.read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file")]) == 2
    assert "cannot be written" in capsys.readouterr().err
