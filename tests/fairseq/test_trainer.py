"""What the trainer does differently from fairseq's, on a real model and real data."""

from __future__ import annotations

import argparse
import json
import threading
from itertools import chain
from pathlib import Path

import pytest
import torch
from fairseq.data.iterators import BackgroundConsumer
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.tasks import setup_task

from mmvt.checkpoint import save_state
from mmvt.config.recipe import Recipe
from mmvt.errors import CheckpointError
from mmvt.fairseq import arguments, entry
from mmvt.fairseq.trainer import MultimodalTrainer, ValidationStopped
from tests.corpus import TASK, write_corpus


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trainer")
    path = folder / "tiny.yaml"
    path.write_text(TASK.format(corpus=write_corpus(folder / "corpus")))
    return path


def trainer_of(path: Path, *overrides: str) -> MultimodalTrainer:
    section = Recipe.load(path, overrides).fairseq
    args = arguments.parse(section, str(path), json.dumps(overrides))
    cfg = convert_namespace_to_omegaconf(args)
    entry.join_workers(cfg)
    task = setup_task(cfg.task)
    model, criterion = task.build_model(cfg.model), task.build_criterion(cfg.criterion)
    return MultimodalTrainer(cfg, task, model, criterion)


def rates(trainer: MultimodalTrainer, count: int) -> list[float]:
    """Return the learning rates with which updates 1 … count are made."""
    found = []
    for update in range(count):
        trainer.set_num_updates(update)
        found.append(trainer.get_lr())
    return found


def test_warm_up_counts_the_update_it_makes_and_joins_the_schedule(recipe: Path):
    trainer = trainer_of(recipe)
    trainer._build_optimizer()
    assert trainer.get_lr() == pytest.approx(0.0015)
    expected = [0.0015, 0.003, 0.003, 0.003 * 97 / 98, 0.003 * 96 / 98]
    assert rates(trainer, 5) == pytest.approx(expected)


def test_odd_characters_in_a_folder_name_arrive_unchanged(recipe: Path):
    name = """runs/a 'b' "c"; touch x $(id) | & > {d} [e], f=g"""
    trainer = trainer_of(recipe, f"fairseq.checkpoint.save_dir={json.dumps(name)}")
    assert trainer.cfg.checkpoint.save_dir == name


def test_without_warm_up_the_schedule_is_fairseqs(recipe: Path):
    trainer = trainer_of(recipe, "fairseq.optimization.warmup_updates=0")
    assert rates(trainer, 3) == pytest.approx([0.003, 0.003 * 0.99, 0.003 * 0.98])


def test_the_first_update_changes_the_weights(recipe: Path):
    trainer = trainer_of(recipe)
    before = {name: p.clone() for name, p in trainer.get_model().named_parameters()}
    iterator = trainer.get_train_iterator(epoch=1).next_epoch_itr(shuffle=False)
    trainer.begin_epoch(1)
    trainer.train_step([next(iterator)])
    changed = [
        n for n, p in trainer.get_model().named_parameters() if not torch.equal(p, before[n])
    ]
    assert len(changed) > 0.9 * len(before)


def test_a_sample_is_not_changed_by_a_step(recipe: Path):
    trainer = trainer_of(recipe)
    batch = next(trainer.get_train_iterator(epoch=1).next_epoch_itr(shuffle=False))
    before = {key: v.clone() for key, v in batch.items() if isinstance(v, torch.Tensor)}
    trainer.begin_epoch(1)
    trainer.train_step([batch])
    assert all(torch.equal(batch[key], value) for key, value in before.items())


def test_every_example_of_an_epoch_is_drawn_once_in_an_order_of_its_own(recipe: Path):
    trainer = trainer_of(recipe)

    def ids(epoch: int) -> list[tuple[str, ...]]:
        iterator = trainer.get_train_iterator(epoch=epoch).next_epoch_itr()
        return [tuple(batch["video_id"]) for batch in iterator]

    first, second = ids(1), ids(2)
    assert sorted(chain(*first)) == sorted(chain(*second))
    assert len(set(chain(*first))) == 16
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}
    assert ids(1) == first


def test_a_batch_size_that_is_no_multiple_of_eight_keeps_its_batches(recipe: Path):
    trainer = trainer_of(recipe, "fairseq.dataset.batch_size=3")
    sizes = [len(b["video_id"]) for b in trainer.get_train_iterator(epoch=1).next_epoch_itr()]
    assert sorted(sizes) == [1, 3, 3, 3, 3, 3]


def stopped_after_one_step(path: Path, folder: Path) -> str:
    """Return the checkpoint of a run that was stopped after a step of its first epoch."""
    trainer = trainer_of(path)
    iterator = trainer.get_train_iterator(epoch=1)
    batches = iterator.next_epoch_itr()
    trainer.begin_epoch(1)
    trainer.train_step([next(batches)])
    trainer.consolidate_optimizer()
    checkpoint = str(folder / "checkpoint_1_1.pt")
    trainer.save_checkpoint(checkpoint, {"train_iterator": iterator.state_dict()})
    return checkpoint


def test_an_epoch_goes_on_with_the_batches_it_began_with(recipe: Path, tmp_path: Path):
    checkpoint = stopped_after_one_step(recipe, tmp_path)
    trainer = trainer_of(recipe)
    state = trainer.load_checkpoint(checkpoint)
    iterator = trainer.get_train_iterator(epoch=1)
    iterator.load_state_dict(state["train_iterator"])
    rest = [batch["video_id"] for batch in iterator.next_epoch_itr()]
    whole = [b["video_id"] for b in trainer_of(recipe).get_train_iterator(1).next_epoch_itr()]
    assert rest == whole[1:]


@pytest.mark.parametrize("change", ["fairseq.dataset.batch_size=5", "fairseq.common.seed=4"])
def test_an_epoch_that_would_go_on_with_other_batches_is_refused(
    change: str, recipe: Path, tmp_path: Path
):
    trainer = trainer_of(recipe, change)
    trainer.load_checkpoint(stopped_after_one_step(recipe, tmp_path))
    with pytest.raises(CheckpointError, match="epoch 1 was begun with other batches; resume it"):
        trainer.get_train_iterator(epoch=1)
    trainer.get_train_iterator(epoch=2)


def test_a_run_that_starts_from_the_weights_of_another_makes_batches_of_its_own(
    recipe: Path, tmp_path: Path
):
    checkpoint = stopped_after_one_step(recipe, tmp_path)
    for change in (
        "fairseq.checkpoint.reset_dataloader=true",
        f"fairseq.checkpoint.finetune_from_model={checkpoint}",
    ):
        trainer = trainer_of(recipe, "fairseq.dataset.batch_size=5", change)
        trainer.load_checkpoint(checkpoint)
        trainer.get_train_iterator(epoch=1)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_run_begins_with_weights_of_either_form(recipe: Path, tmp_path: Path, suffix: str):
    path = tmp_path / f"weights{suffix}"
    model = Recipe.load(recipe).model()
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.25)
    if suffix == ".pt":
        torch.save({"model": model.state_dict()}, path)
    else:
        save_state(model, path)
    trainer = trainer_of(recipe, f"fairseq.checkpoint.finetune_from_model={path}")
    assert trainer.load_checkpoint(str(path)) is None
    assert all((parameter == 0.25).all() for parameter in trainer.get_model().parameters())


def test_validation_is_left_where_the_run_is_to_stop(recipe: Path):
    trainer = trainer_of(recipe)
    trainer.task.load_dataset("valid")
    batch = next(trainer.get_valid_iterator("valid").next_epoch_itr(shuffle=False))
    assert trainer.valid_step(batch) is not None
    trainer.stop.received = True
    with pytest.raises(ValidationStopped):
        trainer.valid_step(batch)


def test_of_a_run_that_failed_no_checkpoint_is_left_that_nothing_can_go_on_from(
    recipe: Path, tmp_path: Path
):
    assert trainer_of(recipe).save_checkpoint(str(tmp_path / "crash.pt"), {}) is None
    assert list(tmp_path.iterdir()) == []


def test_a_thread_that_loads_ahead_ends_with_the_run(recipe: Path):
    trainer = trainer_of(recipe, "fairseq.dataset.data_buffer_size=1")
    batches = trainer.get_train_iterator(epoch=1).next_epoch_itr()
    next(batches)
    loading = [t for t in threading.enumerate() if isinstance(t, BackgroundConsumer)]
    assert loading
    entry.stop_loading_ahead()
    assert not any(thread.is_alive() for thread in loading)


def test_a_checkpoint_of_fairseq_with_a_namespace_in_it_is_read_with_safety_on(
    recipe: Path, tmp_path: Path
):
    trainer = trainer_of(recipe)
    trainer.consolidate_optimizer()
    path = tmp_path / "checkpoint_last.pt"
    state = trainer.state_dict()
    state["cfg"]["old"] = argparse.Namespace(seed=1)
    state["extra_state"]["train_iterator"] = {"epoch": 1, "version": 2, "iterations_in_epoch": 0}
    torch.save(state, path)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path)
    assert trainer_of(recipe).load_checkpoint(str(path)) is not None


def test_a_checkpoint_that_would_run_code_is_refused(recipe: Path, tmp_path: Path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):  # noqa: ANN204
            return Path.touch, (marker,)

    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(Exception, match="Weights only load failed"):
        trainer_of(recipe).load_checkpoint(str(tmp_path / "evil.pt"))
    assert not marker.exists()


def test_dropout_differs_between_updates_but_not_between_runs(recipe: Path):
    def draw(update: int) -> torch.Tensor:
        trainer = trainer_of(recipe)
        trainer.set_num_updates(update)
        trainer._set_seed()
        return torch.rand(4)

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))
