"""Parts that a YAML freezes, through fairseq's trainer on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmvt.checkpoint import load_safely
from mmvt.config.recipe import Recipe
from mmvt.errors import ConfigError
from mmvt.fairseq.trainer import MultimodalTrainer
from tests.corpus import TASK, write_corpus
from tests.fairseq.test_trainer import trainer_of

FROZEN = "trainable={frozen: [trunk.text, encoders.video.linear1]}"
OPTIONS = (FROZEN, "fairseq.common.cpu=true", "fairseq.optimization.optimizer=fused_adam")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("freezing")
    path = folder / "tiny.yaml"
    path.write_text(TASK.format(corpus=write_corpus(folder / "corpus")))
    return path


def seeded(path: Path) -> MultimodalTrainer:
    torch.manual_seed(0)
    return trainer_of(path, *OPTIONS)


def weights(trainer: MultimodalTrainer) -> dict[str, torch.Tensor]:
    return {name: w.detach().clone() for name, w in trainer.get_model().mmmodel.named_parameters()}


def steps(trainer: MultimodalTrainer, batches: Any, count: int) -> None:
    for _ in range(count):
        trainer.train_step([next(batches)])


def begun(trainer: MultimodalTrainer) -> Any:
    """Return the batches of the first epoch."""
    trainer.begin_epoch(1)
    return trainer.get_train_iterator(epoch=1)


def is_frozen(name: str) -> bool:
    return name.startswith(("trunk.text.", "encoders.video.linear1."))


def test_frozen_parts_stay_bit_for_bit_and_the_others_learn(recipe: Path) -> None:
    trainer = seeded(recipe)
    before = weights(trainer)
    steps(trainer, begun(trainer).next_epoch_itr(), 3)
    changed = {name for name, w in weights(trainer).items() if not torch.equal(w, before[name])}
    learning = {name for name in before if not is_frozen(name)}
    assert not any(is_frozen(name) for name in changed)
    assert len(changed) > 0.9 * len(learning)
    assert any(is_frozen(name) for name in before)


def test_a_run_with_frozen_parts_goes_on_bit_for_bit(recipe: Path, tmp_path: Path) -> None:
    straight = seeded(recipe)
    steps(straight, begun(straight).next_epoch_itr(), 4)
    first = seeded(recipe)
    iterator = begun(first)
    batches = iterator.next_epoch_itr()
    steps(first, batches, 2)
    first.consolidate_optimizer()
    checkpoint = tmp_path / "checkpoint_1_2.pt"
    first.save_checkpoint(str(checkpoint), {"train_iterator": iterator.state_dict()})
    second = trainer_of(recipe, *OPTIONS)
    second.load_checkpoint(str(checkpoint))
    steps(second, batches, 2)
    expected = weights(straight)
    assert all(torch.equal(w, expected[name]) for name, w in weights(second).items())
    held = load_safely(checkpoint)
    learning = [name for name in expected if not is_frozen(name)]
    assert len(held["last_optimizer_state"]["state"]) == len(learning)
    assert {f"mmmodel.{name}" for name in expected} <= held["model"].keys()


def test_evaluation_freezes_nothing(recipe: Path) -> None:
    settings = Recipe.load(recipe, [FROZEN])
    assert all(p.requires_grad for p in settings.model().parameters())


def test_a_wrong_key_or_group_is_one_error(recipe: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainable\.frozn.*did you mean 'frozen'"):
        Recipe.load(recipe, ["trainable={frozn: [trunk]}"])
    with pytest.raises(ConfigError, match=r"trainable\.frozen must be list\[str\] \| None"):
        Recipe.load(recipe, ["trainable={frozen: trunk}"])
    settings = Recipe.load(recipe, ["trainable={frozen: [encoders.vdieo]}"])
    with pytest.raises(ConfigError, match=r"in 'encoders\.vdieo'; did you mean encoders\.video"):
        settings.model_in_training()
