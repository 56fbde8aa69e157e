"""The golden case ``tasks/reshape_subsample``: batches of subsamples, merged for the model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmvt.tasks.pair_task import PairTask
from mmvt.tasks.retrieval_task import RetrievalTask
from mmvt.tasks.task import Task
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden

TASKS = {"Task": Task, "VLMTask": PairTask, "VideoRetriTask": RetrievalTask}


def test_merged_batches_are_those_of_the_original(golden: Golden) -> None:
    tensors = golden.tensors("tasks/reshape_subsample.safetensors")
    names = {key.split(".")[0] for key in tensors}
    assert names <= set(TASKS)
    for name in names:
        batch, expected = (
            {
                key.removeprefix(f"{name}.{side}."): tensor
                for key, tensor in tensors.items()
                if key.startswith(f"{name}.{side}.")
            }
            for side in ("in", "out")
        )
        assert set(batch) == set(expected)
        check(name, batch, expected)


def check(name: str, batch: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    if name == "VideoRetriTask":  # there a group is an example of its own, in a batch of one
        batch = {key: tensor[0] for key, tensor in batch.items()}
    batch["index"] = batch.pop("idx")
    before = {key: tensor.clone() for key, tensor in batch.items()}
    videos, subsampling = batch["vfeats"].shape[:2]
    batch["vmasks"] = torch.ones(batch["vfeats"].shape[:-1], dtype=torch.bool)
    ours = TASKS[name](subsampling=subsampling).flatten(batch)
    assert ours["vmasks"].shape[0] == videos * subsampling
    ours["idx"] = ours.pop("index")
    for key, tensor in expected.items():
        assert ours[key].dtype == tensor.dtype
        assert torch.equal(ours[key], tensor), (name, key)
    assert all(torch.equal(batch[key], before[key]) for key in before)
