from __future__ import annotations

import torch
from torch import Tensor, nn

from mmvt.losses.contrastive import SymmetricNCE
from mmvt.tasks.task import Task, video_keys


def masks(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.bool)


def test_equal_videos_have_equal_keys_in_every_batch():
    first = video_keys({"video_id": ["a", "b", "a"], "vmasks": masks(3, 2)})["video_key"]
    other = video_keys({"video_id": ["ö", "b"], "vmasks": masks(2, 2)})["video_key"]
    assert first.dtype == torch.long
    assert first[0] == first[2] != first[1]
    assert other[1] == first[1] != other[0]


def test_windows_and_batches_without_ids_have_none():
    assert video_keys({"video_id": ["a"], "vmasks": masks(3, 2)}) == {}
    assert video_keys({"vmasks": masks(3, 2)}) == {}
    assert video_keys({"video_id": []}) == {}


class Recorder(nn.Module):
    """Scores nothing, and keeps what it was given."""

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        self.batch = batch
        return {"scores": torch.zeros(4, 4)}


def test_the_model_sees_a_key_for_each_of_the_examples_drawn_of_a_video():
    model = Recorder()
    batch = {"video_id": ["a", "b"], "vmasks": masks(2, 2, 3)}
    Task(subsampling=2).compute(model, SymmetricNCE(), batch)
    keys = model.batch["video_key"].tolist()
    assert keys[0] == keys[1] != keys[2] == keys[3]
    assert batch.keys() == {"video_id", "vmasks"}
