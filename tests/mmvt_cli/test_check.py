"""Tests of checking projects by building them at tiny size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmvt_cli.check import main
from tests.corpus import write_corpus, write_project


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_corpus(tmp_path_factory.mktemp("corpus"), videos=6)


@pytest.fixture
def project(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_project(tmp_path, corpus)


def test_every_yaml_that_somebody_wrote_is_checked(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    expansion = Path("projects/tiny/tiny.yaml")
    expansion.parent.mkdir()
    header = "# generated from x; sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b"
    expansion.write_text(header + "7852b855\n")
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok      projects/task/tiny.yaml",
        "ok      projects/tiny.yaml: tiny.yaml",
    ]


def test_a_model_is_built_small_whatever_the_yaml_says(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    large = "trunk: {num_hidden_video_layers: 6, bert_config: {hidden_size: 1024}}\n"
    project.write_text(project.read_text() + large)
    assert main([str(project)]) == 0


def test_a_wrong_yaml_fails_with_its_problems_and_the_others_are_checked(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    Path("projects/bad.yaml").write_text("head: Nothing\ndatset: {}\n")
    Path("projects/worse.yaml").write_text("a: [\n")
    assert main([]) == 2
    printed = capsys.readouterr()
    assert "FAILED  projects/bad.yaml" in printed.out
    assert "FAILED  projects/worse.yaml" in printed.out
    assert "ok      projects/tiny.yaml: tiny.yaml" in printed.out
    assert "  projects/bad.yaml:2: datset is no section; did you mean 'dataset'?" in printed.err


def test_a_value_that_no_part_takes_fails(project: Path, capsys: pytest.CaptureFixture[str]):
    project.write_text(project.read_text() + "head: {temperature: -1.0}\n")
    assert main([str(project)]) == 2
    assert "temperature is -1.0, but must be above 0" in capsys.readouterr().err


def test_a_folder_without_projects_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "there is no YAML under projects/" in capsys.readouterr().err
