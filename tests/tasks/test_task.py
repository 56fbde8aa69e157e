from __future__ import annotations

import torch

from mmvt.tasks.task import Task


def test_examples_of_a_video_are_merged_in_order() -> None:
    caps = torch.arange(2 * 3 * 4).view(2, 3, 4)
    batch = {
        "caps": caps,
        "vmasks": caps > 0,
        "index": torch.tensor([7, 8]),
        "video_id": ["a", "b"],
    }
    flat = Task(subsampling=3).flatten(batch)
    assert torch.equal(flat["caps"], caps.view(6, 4))
    assert flat["vmasks"].shape == (6, 4)
    assert flat["index"].tolist() == [7, 8]
    assert flat["video_id"] == ["a", "b"]
    assert batch["caps"] is caps
    assert caps.shape == (2, 3, 4)


def test_a_batch_without_subsamples_stays_as_it_is() -> None:
    batch = {"caps": torch.ones(2, 4), "vmasks": torch.ones(2, 4, dtype=torch.bool)}
    assert Task(subsampling=3).flatten(batch) == batch
    assert Task().flatten({"caps": batch["caps"]}) == {"caps": batch["caps"]}
