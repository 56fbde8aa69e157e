from __future__ import annotations

import pytest
import torch

from mmvt.errors import ConfigError
from mmvt.tasks.pair_task import PairTask


def test_the_first_of_every_pair_come_before_the_second() -> None:
    caps = torch.tensor([[[10], [11], [12], [13]], [[20], [21], [22], [23]]])
    batch = {
        "caps": caps,
        "vmasks": caps > 0,
        "index": torch.tensor([7, 8]),
        "video_id": ["a", "b"],
    }
    flat = PairTask(subsampling=4).flatten(batch)
    assert flat["caps"].flatten().tolist() == [10, 12, 20, 22, 11, 13, 21, 23]
    assert flat["vmasks"].shape == (8, 1)
    assert flat["index"].tolist() == [7, 8]
    assert flat["video_id"] == ["a", "b"]
    assert caps.flatten().tolist() == [10, 11, 12, 13, 20, 21, 22, 23]


def test_a_batch_of_evaluation_keeps_its_order() -> None:
    batch = {"caps": torch.arange(4)[:, None], "vmasks": torch.ones(4, 2, dtype=torch.bool)}
    assert torch.equal(PairTask(subsampling=2).flatten(batch)["caps"], batch["caps"])


@pytest.mark.parametrize("subsampling", [1, 3])
def test_an_odd_number_makes_no_pairs(subsampling: int) -> None:
    with pytest.raises(
        ConfigError, match=f"subsampling is {subsampling}, but PairTask needs an even"
    ):
        PairTask(subsampling=subsampling)
