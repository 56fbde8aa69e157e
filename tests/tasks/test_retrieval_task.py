"""Groups of near videos on a real model and real data; in two workers: tests/integration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmvt.config.recipe import Recipe
from mmvt.datasets.multimodal import collate
from mmvt.errors import CheckpointError, ConfigError, DataError
from mmvt.tasks.retrieval_task import RetrievalTask
from mmvt.tasks.task import Epoch, Task
from tests.how2_standin import VIDEOCLIP, write_how2

VIDEOS = 40


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("retrieval")
    path = folder / "tiny.yaml"
    path.write_text(VIDEOCLIP.format(corpus=write_how2(folder / "corpus", VIDEOS)))
    return Recipe.load(path)


@pytest.fixture
def epoch(recipe: Recipe, tmp_path: Path) -> Epoch:
    """Return epoch 2, in which one worker takes 8 videos a step."""
    torch.manual_seed(0)
    dataset = recipe.dataset("train")
    dataset.set_epoch(2)
    return Epoch(
        number=2,
        dataset=dataset,
        batch_size=8,
        workers=1,
        rank=0,
        model=recipe.model(),
        folder=tmp_path,
    )


def task(retri_epoch: int = 2, seed: int = 1, num_cands: int = 12) -> RetrievalTask:
    return RetrievalTask(
        retri_epoch=retri_epoch,
        seed=seed,
        num_cands=num_cands,
        num_video_per_batch=8,
        subsampling=4,
    )


def few(epoch: Epoch, videos: int) -> Epoch:
    """Return the epoch over the first videos only."""
    dataset = epoch.dataset
    dataset._positions = range(videos)
    return replace(epoch, dataset=dataset)


def equal(one: Sequence[np.ndarray], two: Sequence[np.ndarray]) -> bool:
    return len(one) == len(two) and all(map(np.array_equal, one, two))


@torch.no_grad()
def vectors_of(epoch: Epoch) -> Tensor:
    """Return the vectors of all videos, one after the other."""
    model, rows = epoch.model.eval(), []
    for index in range(len(epoch.dataset)):
        example = epoch.dataset[index]
        keys = ("vfeats", "vmasks", "caps", "cmasks")
        outputs = model(**{key: example[key] for key in keys})
        rows.append(((outputs["pooled_video"] + outputs["pooled_text"]) / 2).mean(0))
    return torch.stack(rows)


def test_a_task_shares_out_every_example_once_in_an_order_of_the_epochs_own(epoch: Epoch):
    batches = Task(seed=5).batches(replace(epoch, batch_size=3, workers=4))
    assert [len(batch) for batch in batches] == [12, 12, 12, 4]
    assert sorted(np.concatenate(batches)) == list(range(VIDEOS))
    assert equal(batches, Task(seed=5).batches(replace(epoch, batch_size=12)))
    assert not equal(batches, Task(seed=6).batches(replace(epoch, batch_size=12)))
    assert not equal(batches, Task(seed=5).batches(replace(epoch, batch_size=12, number=3)))


def test_before_their_epoch_groups_are_random_and_hold_every_video(epoch: Epoch):
    early = replace(epoch, number=1)
    batches = task().batches(early)
    assert sorted(np.concatenate(batches)) == list(range(VIDEOS))
    assert [len(batch) for batch in batches] == [8] * 5
    assert equal(batches, task().batches(early))
    assert not equal(batches, task(seed=2).batches(early))
    assert not equal(batches, task(retri_epoch=3).batches(epoch))
    assert not (epoch.folder / "retrieval").exists()


def test_from_their_epoch_on_a_group_is_drawn_from_the_videos_nearest_to_one(epoch: Epoch):
    batches = task().batches(epoch)
    vectors = vectors_of(epoch).double()
    near = torch.cdist(vectors, vectors).argsort(1)[:, :12].tolist()
    assert [len(batch) for batch in batches] == [8] * 5
    for batch in batches:
        assert len(set(batch)) == 8
        assert any(set(batch) <= set(row) for row in near)
    # 12 of 40 would hardly be near one another by chance
    order = np.random.default_rng(0).permutation(VIDEOS)
    assert not any(set(order[:8]) <= set(row) for row in near)


def test_groups_depend_on_weights_seed_and_epoch(epoch: Epoch):
    batches = task().batches(epoch)
    assert equal(batches, task().batches(epoch))
    assert not equal(batches, task(seed=2).batches(epoch))
    assert not equal(batches, task().batches(replace(epoch, number=3)))
    nn.init.normal_(next(epoch.model.encoders.parameters()), std=5.0)
    assert not equal(batches, task().batches(epoch))


def test_the_pass_over_all_videos_leaves_the_model_as_it_was(epoch: Epoch):
    before = {name: value.clone() for name, value in epoch.model.state_dict().items()}
    epoch.model.train()
    task().batches(epoch)
    assert epoch.model.training
    assert all(torch.equal(before[name], v) for name, v in epoch.model.state_dict().items())
    assert all(parameter.grad is None for parameter in epoch.model.parameters())


def test_dropout_does_not_reach_the_vectors(epoch: Epoch):
    batches = task().batches(epoch)
    for module in epoch.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.9
    epoch.model.train()
    assert equal(batches, task().batches(epoch))


def test_loading_in_processes_of_their_own_changes_nothing(epoch: Epoch):
    assert equal(task().batches(epoch), task().batches(replace(epoch, loaders=2)))


def test_a_model_in_half_precision_is_given_what_it_takes(epoch: Epoch):
    batches = task().batches(replace(epoch, model=epoch.model.bfloat16()))
    assert [len(batch) for batch in batches] == [8] * 5


@pytest.mark.faults
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    ("videos", "steps", "size"),
    [(2, 1, 2), (7, 1, 7), (8, 1, 8), (9, 2, 8), (16, 2, 8), (17, 3, 8), (40, 5, 8)],
)
def test_no_group_is_dropped_or_of_one_video_however_few_there_are(
    number: int, videos: int, steps: int, size: int, epoch: Epoch
):
    batches = task().batches(few(replace(epoch, number=number), videos))
    assert [len(batch) for batch in batches] == [size] * steps
    assert all(len(set(batch)) == size for batch in batches)
    counts = Counter(np.concatenate(batches).tolist())
    assert number == 2 or len(counts) == videos


@pytest.mark.parametrize("number", [1, 2])
def test_every_worker_has_as_many_steps_of_whole_groups(number: int, epoch: Epoch):
    wide = task().batches(few(replace(epoch, number=number, batch_size=16), 33))
    # 5 groups of 8 hold 33 videos; a step takes 2, so there are 6
    assert [len(batch) for batch in wide] == [16] * 3


def test_batch_size_times_workers_alone_decides_what_a_step_holds(epoch: Epoch):
    early = replace(epoch, number=1)
    one = task().batches(replace(early, batch_size=16))
    for batch_size, workers in ((8, 2), (4, 4), (1, 16)):
        assert equal(one, task().batches(replace(early, batch_size=batch_size, workers=workers)))


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (4, 1), (12, 1), (4, 3)])
def test_a_step_that_is_not_of_whole_groups_is_refused(batch_size: int, workers: int, epoch: Epoch):
    with pytest.raises(ConfigError, match=r"videos a step, which must be a multiple of .*, 8"):
        task().batches(replace(epoch, batch_size=batch_size, workers=workers))


@pytest.mark.parametrize(("videos", "workers"), [(1, 1), (3, 4)])
def test_too_few_videos_for_groups_or_workers_are_refused(videos: int, workers: int, epoch: Epoch):
    with pytest.raises(DataError, match=f"but {videos} are there for {workers} workers"):
        task().batches(few(replace(epoch, workers=workers), videos))


def test_a_head_without_pooled_vectors_is_refused_from_the_first_epoch(epoch: Epoch):
    class Scores(nn.Module):
        produces = ("scores",)

    epoch.model.head = Scores()
    with pytest.raises(
        ConfigError, match="needs pooled_video and pooled_text, but Scores produces scores"
    ):
        task(retri_epoch=9).batches(epoch)


@pytest.mark.parametrize(("size", "cands"), [(1, 64), (0, 64), (33, 32)])
def test_impossible_groups_are_refused(size: int, cands: int):
    with pytest.raises(ConfigError, match=f"num_video_per_batch is {size}, .* num_cands, {cands}"):
        RetrievalTask(num_video_per_batch=size, num_cands=cands)


def test_a_search_in_no_cells_is_refused():
    with pytest.raises(ConfigError, match="num_centroids is 0, but must be at least 1"):
        RetrievalTask(num_centroids=0)


def test_a_resumed_epoch_reads_the_groups_it_began_with(epoch: Epoch):
    batches = task().batches(epoch)
    nn.init.normal_(next(epoch.model.encoders.parameters()), std=5.0)
    assert equal(batches, task().batches(replace(epoch, resumed=True)))


def test_a_resumed_epoch_without_its_groups_is_refused(epoch: Epoch):
    with pytest.raises(CheckpointError, match=r"retrieval/epoch_0002.npz: is missing"):
        task().batches(replace(epoch, resumed=True))


def test_a_resumed_epoch_of_other_groups_is_refused(epoch: Epoch):
    task().batches(epoch)
    with pytest.raises(CheckpointError, match="holds 5 groups of 8 videos, not 6 of 8"):
        task().batches(replace(epoch, resumed=True, batch_size=16))


def test_an_epoch_that_begins_anew_forgets_the_groups_of_an_earlier_attempt(epoch: Epoch):
    old = task().batches(epoch)
    nn.init.normal_(next(epoch.model.encoders.parameters()), std=5.0)
    new = task().batches(epoch)
    assert not equal(old, new)
    assert equal(new, task().batches(replace(epoch, resumed=True)))


def test_a_yaml_gives_task_and_aligner_the_number_of_clips(recipe: Recipe):
    made = recipe.task()
    assert isinstance(made, RetrievalTask)
    assert (made.subsampling, made.seed, made.retri_epoch) == (4, 3, 2)
    batch = collate([recipe.dataset("train")[index] for index in range(3)])
    assert batch["vfeats"].shape[:2] == (3, 4)
    assert batch["video_id"] == ["v0000", "v0001", "v0002"]
