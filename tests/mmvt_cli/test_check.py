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


OWN = '''\
from dataclasses import dataclass

import numpy as np

from mmvt.errors import DataError
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.base import TextClips


@dataclass(frozen=True)
class Moods(TextClips):
    mood: int


class MoodAligner(PairAligner):
    """Pairs of a mood."""

    def example_clips(self):
        return Moods(np.array([0.0]), np.array([2.0]), [[6, 7]], mood=1)

    def __call__(self, video_id, video_features, clips, rng):
        if not isinstance(clips, Moods):
            raise DataError("there is no mood")
        return super().__call__(video_id, video_features, clips, rng)
'''
UNSET = "sampled_min_len: null, sampled_max_len: null"


@pytest.mark.parametrize(
    "changes",
    [
        f"dataset: {{aligner: MILNCEAligner, {UNSET}}}\ntask: MILNCETask\nloss: MILNCE\n",
        (
            "dataset: {aligner: MFMMLMAligner, subsampling: 2}\ntask: PairTask\nhead: MTMHead\n"
            "trunk: {name: JointTrunk, pretrained: true, num_iso_layer: null}\n"
        ),
        (
            "dataset: {aligner: OverlappedAligner, subsampling: 3}\ntrunk: {name: JointTrunk, "
            "num_iso_layer: 12}\ntask: RetrievalTask\n"
        ),
        f"dataset: {{aligner: {{name: SampledAligner, sampler: CaptionSampler}}, {UNSET}}}\n",
    ],
    ids=["milnce", "masked", "retrieval", "captions"],
)
def test_an_example_is_made_by_the_tasks_own_aligner(
    project: Path, changes: str, capsys: pytest.CaptureFixture[str]
):
    Path("projects/other.yaml").write_text(f"includes: task/tiny.yaml\n{changes}")
    assert main(["projects/other.yaml"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("aligner", "unset"),
    [
        ("MultipleChoiceAligner", UNSET),
        ("MomentAligner", UNSET),
        ("SegmentationAligner", f"{UNSET}, sliding_window: 4, sliding_window_size: 8"),
        ("StepLocalizationAligner", f"{UNSET}, sliding_window: 4, sliding_window_size: 8"),
    ],
)
def test_labels_of_every_kind_are_made_up(
    project: Path, aligner: str, unset: str, capsys: pytest.CaptureFixture[str]
):
    # one video a batch, which is not trained with
    Path("projects/other.yaml").write_text(
        f"includes: task/tiny.yaml\ndataset: {{aligner: {aligner}, {unset}}}\n"
        "fairseq: {optimization: null, dataset: {batch_size: 1}}\n"
    )
    assert main(["projects/other.yaml"]) == 0, capsys.readouterr().err


def test_an_aligner_with_labels_of_its_own_kind_says_what_they_are(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    Path("projects/own.py").write_text(OWN)
    own = Path("projects/own.yaml")
    own.write_text(
        f"includes: task/tiny.yaml\nplugins: [own.py]\ndataset: {{aligner: MoodAligner, {UNSET}}}\n"
    )
    assert main([str(own)]) == 0, capsys.readouterr().err
    Path("projects/own.py").write_text(OWN.replace("example_clips", "nothing"))
    own.with_name("own2.py").write_text(OWN.replace("example_clips", "nothing"))
    own.write_text(own.read_text().replace("own.py", "own2.py"))
    assert main([str(own)]) == 2
    assert "there is no mood" in capsys.readouterr().err


def test_parts_that_others_include_are_no_tasks_unless_they_name_a_head(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    Path("projects/task/part.yaml").write_text("dataset: {bert_name: x}\n")
    Path("projects/task/whole.yaml").write_text("includes: [part.yaml, tiny.yaml]\n")
    main([])
    printed = capsys.readouterr().out
    assert "part.yaml" not in printed
    assert "projects/task/whole.yaml" in printed
    assert "ok      projects/task/tiny.yaml" in printed
    Path("projects/task/whole.yaml").unlink()
    main([])
    assert "FAILED  projects/task/part.yaml" in capsys.readouterr().out
