"""What a YAML says of speed, through fairseq's trainer on real data, and what is logged of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fairseq.logging import metrics

from mmvt.config.recipe import Recipe
from mmvt.errors import ConfigError
from mmvt.fairseq.fused_adam import FusedAdam
from mmvt.fairseq.trainer import MultimodalTrainer
from tests.corpus import TASK, write_corpus
from tests.fairseq.test_trainer import trainer_of

FUSED = "fairseq.optimization.optimizer=fused_adam"
ON_CPU = "fairseq.common.cpu=true"
NO_DROPOUT = "trunk.bert_config={hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0}"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speed")
    path = folder / "tiny.yaml"
    path.write_text(TASK.format(corpus=write_corpus(folder / "corpus")))
    return path


def seeded(path: Path, *overrides: str) -> MultimodalTrainer:
    """Return a trainer of weights that are always the same."""
    torch.manual_seed(0)
    return trainer_of(path, ON_CPU, *overrides)


def losses(trainer: MultimodalTrainer, count: int) -> list[float]:
    """Return the losses of the first updates, rounded to four digits behind the point."""
    trainer.begin_epoch(1)
    batches = trainer.get_train_iterator(epoch=1).next_epoch_itr()
    return [trainer.train_step([next(batches)])["loss"] for _ in range(count)]


def weights(trainer: MultimodalTrainer) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in trainer.get_model().parameters()]


def test_fused_adam_trains_as_adam_does(recipe: Path):
    ours, theirs = seeded(recipe, FUSED), seeded(recipe)
    assert losses(ours, 4) == pytest.approx(losses(theirs, 4), rel=5e-5)
    assert isinstance(ours.optimizer, FusedAdam)


def test_a_run_with_fused_adam_goes_on_bit_for_bit(recipe: Path, tmp_path: Path):
    straight = seeded(recipe, FUSED)
    losses(straight, 4)
    first = seeded(recipe, FUSED)
    iterator = first.get_train_iterator(epoch=1)
    batches = iterator.next_epoch_itr()
    first.begin_epoch(1)
    for _ in range(2):
        first.train_step([next(batches)])
    first.consolidate_optimizer()
    checkpoint = str(tmp_path / "checkpoint_1_2.pt")
    first.save_checkpoint(checkpoint, {"train_iterator": iterator.state_dict()})
    second = trainer_of(recipe, FUSED, ON_CPU)
    second.load_checkpoint(checkpoint)
    for _ in range(2):
        second.train_step([next(batches)])
    pairs = zip(weights(second), weights(straight), strict=True)
    assert all(torch.equal(mine, other) for mine, other in pairs)


def test_bf16_trains_on_a_cpu(recipe: Path):
    half = seeded(recipe, FUSED, NO_DROPOUT, "fairseq.common.bf16=true")
    found = losses(half, 4)
    assert {weight.dtype for weight in weights(half)} == {torch.bfloat16}
    whole = losses(seeded(recipe, FUSED, NO_DROPOUT), 4)
    assert found == pytest.approx(whole, rel=0.02)


def test_fp16_without_a_gpu_is_refused(recipe: Path):
    with pytest.raises(ConfigError, match="fp16 needs a GPU; set fairseq.common.bf16=true"):
        trainer_of(recipe, ON_CPU, "fairseq.common.fp16=true")


def test_packing_and_recomputing_by_yaml_change_no_loss(recipe: Path):
    plain = losses(seeded(recipe, NO_DROPOUT, "trunk.packed=false"), 3)
    packed = losses(seeded(recipe, NO_DROPOUT, "trunk.packed=true"), 3)
    recomputed = losses(seeded(recipe, NO_DROPOUT, "speed.recompute=true"), 3)
    assert packed == pytest.approx(plain, rel=5e-5)
    assert recomputed == packed


def test_an_option_of_speed_that_does_not_exist_is_named(recipe: Path):
    with pytest.raises(ConfigError, match=r"speed\.recompte.*did you mean 'recompute'"):
        Recipe.load(recipe, ["speed.recompte=true"])


def test_evaluation_is_not_run_as_training_is(recipe: Path):
    settings = Recipe.load(recipe, ["speed.compile=true"])
    assert settings.model().trunk.packed is None
    assert settings.model_in_training().trunk.packed is False


def test_the_log_tells_clips_a_second_and_the_wait_for_batches(recipe: Path):
    trainer = seeded(recipe, "dataset.subsampling=2")
    with metrics.aggregate("train"):
        losses(trainer, 2)
        for name in ("train", "train_inner"):
            assert metrics.get_smoothed_values(name)["data_wait"] > 0
        assert metrics.get_smoothed_values("train")["clips_per_second"] > 0
    metrics.reset()


def test_clips_are_counted_and_not_videos(recipe: Path):
    trainer = seeded(recipe, "dataset.subsampling=2")
    batch = next(trainer.get_train_iterator(epoch=1).next_epoch_itr())
    _, _, log = trainer.criterion(trainer.model, batch)
    assert (log["clips"], batch["caps"].numel() // batch["caps"].shape[-1]) == (8, 8)
