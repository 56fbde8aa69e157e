"""Weights that a run begins with: of another task, and of the original toolkit."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from mmvt.config.recipe import Recipe
from mmvt.errors import CheckpointError
from mmvt.fairseq import entry
from mmvt.fairseq.model import FairseqMultimodalModel, fit_head
from mmvt.models.convert_mmpt import complete_mmpt, to_mmpt
from mmvt.models.heads.segmentation import SegmentationHead
from mmvt.models.model import MultimodalModel
from tests.corpus import TASK, write_corpus


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "tiny.yaml").write_text(TASK.format(corpus=write_corpus(folder, videos=6)))
    return Recipe.load(folder / "tiny.yaml")


@pytest.fixture
def pretrained(recipe: Recipe) -> MultimodalModel:
    model = recipe.model()
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    return model


def classifying(recipe: Recipe, num_classes: int) -> MultimodalModel:
    model = recipe.model()
    head = SegmentationHead(hidden_size=model.trunk.hidden_size, num_classes=num_classes)
    return MultimodalModel(dict(model.encoders.items()), model.trunk, head)  # type: ignore[arg-type]


def test_weights_of_the_original_are_restored(recipe: Recipe, pretrained: MultimodalModel):
    theirs = complete_mmpt(to_mmpt(pretrained.state_dict()))
    model = FairseqMultimodalModel(recipe.model())
    model.load_state_dict({f"mmmodel.{key}": value for key, value in theirs.items()})
    assert all((parameter == 0.5).all() for parameter in model.parameters())


def test_a_head_that_the_weights_lack_begins_anew(
    recipe: Recipe, pretrained: MultimodalModel, caplog: pytest.LogCaptureFixture
):
    model = classifying(recipe, num_classes=3)
    begun = model.head.state_dict()["classifier.weight"].clone()
    weights = {f"mmmodel.{key}": value for key, value in pretrained.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        FairseqMultimodalModel(model).load_state_dict(weights)
    assert torch.equal(model.head.state_dict()["classifier.weight"], begun)
    assert all((parameter == 0.5).all() for parameter in model.trunk.parameters())
    assert caplog.messages == ["weights begun anew: head.classifier.weight, head.classifier.bias"]


def test_a_head_of_another_shape_is_left_out(recipe: Recipe, caplog: pytest.LogCaptureFixture):
    old, new = classifying(recipe, num_classes=4), classifying(recipe, num_classes=3)
    with caplog.at_level(logging.WARNING):
        fitted = fit_head(old.state_dict(), new)
    assert fitted["head.classifier.bias"].shape == (3,)
    assert "weights left out: head.classifier.weight, head.classifier.bias" in caplog.messages


def test_all_but_the_head_must_fit(recipe: Recipe, pretrained: MultimodalModel):
    weights = {f"mmmodel.{key}": value for key, value in pretrained.state_dict().items()}
    del weights["mmmodel.encoders.video.linear1.bias"]
    with pytest.raises(CheckpointError, match=r"missing: encoders\.video\.linear1\.bias$"):
        FairseqMultimodalModel(recipe.model()).load_state_dict(weights)


def test_weights_that_are_not_there_are_an_error_unless_the_run_goes_on(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(entry.distributed_utils, "call_main", lambda *_: None)
    options = [f"fairseq.checkpoint.save_dir={tmp_path}/run", "fairseq.common.cpu=true"]
    named = f"fairseq.checkpoint.finetune_from_model={tmp_path}/best.pt"
    with pytest.raises(
        CheckpointError, match=r"finetune_from_model: there is no .*best\.pt; train"
    ):
        entry.train(recipe.path, [*options, named])
    with pytest.raises(CheckpointError, match="restore_file: there is no checkpoint gone"):
        entry.train(recipe.path, [*options, "fairseq.checkpoint.restore_file=gone"])
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    torch.save({"model": {}}, tmp_path / "run" / "checkpoint_last.pt")
    entry.train(recipe.path, [*options, named])
