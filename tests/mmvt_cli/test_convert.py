"""Tests of converting checkpoints of the original toolkit and ours into one another."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mmvt.checkpoint import save_state
from mmvt.config.recipe import Recipe
from mmvt.models.convert_mmpt import complete_mmpt, to_mmpt
from mmvt.models.model import MultimodalModel
from mmvt_cli.convert import main
from tests.corpus import TASK, write_corpus
from tests.trap import Trap


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "tiny.yaml").write_text(TASK.format(corpus=write_corpus(folder, videos=6)))
    return folder / "tiny.yaml"


@pytest.fixture(scope="module")
def model(task: Path) -> MultimodalModel:
    return Recipe.load(task).model()


@pytest.fixture(scope="module")
def original(model: MultimodalModel) -> dict[str, Tensor]:
    return complete_mmpt(to_mmpt(model.state_dict()))


def as_fairseq(state: dict[str, Tensor]) -> dict[str, object]:
    weights = OrderedDict((f"mmmodel.{key}", value) for key, value in state.items())
    return {"args": argparse.Namespace(arch="mmarch"), "model": weights, "extra_state": {}}


@pytest.mark.parametrize("form", ["fairseq", "plain"])
def test_a_checkpoint_of_the_original_becomes_ours(
    form: str,
    original: dict[str, Tensor],
    model: MultimodalModel,
    task: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    source, target = tmp_path / "checkpoint_best.pt", tmp_path / "ours.safetensors"
    torch.save(as_fairseq(original) if form == "fairseq" else original, source)
    assert main([str(source), str(target), "--task", str(task)]) == 0
    ours = load_file(target)
    assert ours.keys() == model.state_dict().keys()
    assert all(torch.equal(ours[key], value) for key, value in model.state_dict().items())
    printed = capsys.readouterr().out
    assert f"to ours: {len(ours)} of {len(original)} tensors; left out" in printed
    assert "  text_encoder.pooler.dense.weight" in printed
    assert "fits the model of" in printed


def test_ours_becomes_a_checkpoint_that_the_original_takes(
    original: dict[str, Tensor],
    model: MultimodalModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    save_state(model, tmp_path / "ours.safetensors")
    target = tmp_path / "original.safetensors"
    assert main([str(tmp_path / "ours.safetensors"), str(target)]) == 0
    written = load_file(target)
    assert written.keys() == original.keys()
    assert all(torch.equal(written[key], original[key]) for key in original)
    assert "to the original: " in capsys.readouterr().out


def test_what_does_not_fit_is_named_and_nothing_is_written(
    original: dict[str, Tensor], task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, target = tmp_path / "short.pt", tmp_path / "ours.safetensors"
    torch.save({key: value for key, value in original.items() if "linear2" not in key}, source)
    assert main([str(source), str(target), "--task", str(task)]) == 2
    printed = capsys.readouterr().err
    assert f"{source}: the weights do not fit the model" in printed
    assert "missing: encoders.video.linear2.weight, encoders.video.linear2.bias" in printed
    torch.save({**original, "decoder.weight": torch.zeros(1)}, source)
    assert main([str(source), str(target)]) == 2
    strange = "1 keys are neither the original's nor ours: decoder.weight"
    assert f"{source}: {strange}" in capsys.readouterr().err
    assert not target.exists()


def test_a_file_that_is_there_is_not_overwritten_unless_asked_to(
    original: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, target = tmp_path / "a.pt", tmp_path / "b.safetensors"
    torch.save(original, source)
    target.write_text("mine")
    assert main([str(source), str(target)]) == 2
    assert "b.safetensors exists; add --force" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert main([str(source), str(target), "--force"]) == 0
    assert load_file(target)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save({"model": Trap(tmp_path / "sprung")}, tmp_path / "bad.pt")
    assert main([str(tmp_path / "bad.pt"), str(tmp_path / "x.safetensors")]) == 2
    assert "bad.pt is unsafe or torn" in capsys.readouterr().err
    assert not (tmp_path / "sprung").exists()


def test_only_safetensors_are_written(
    original: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    torch.save(original, tmp_path / "a.pt")
    assert main([str(tmp_path / "a.pt"), str(tmp_path / "b.pt")]) == 2
    assert "must end with .safetensors; no pickle is written" in capsys.readouterr().err


def test_a_checkpoint_of_a_training_becomes_safetensors_under_its_own_keys(
    model: MultimodalModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, target = tmp_path / "checkpoint_best.pt", tmp_path / "best.safetensors"
    torch.save(as_fairseq(model.state_dict()), source)
    assert main([str(source), str(target), "--keys", "ours"]) == 0
    assert "to ours: " in capsys.readouterr().out
    exported = load_file(target)
    assert exported.keys() == model.state_dict().keys()
    assert all(torch.equal(exported[key], value) for key, value in model.state_dict().items())
