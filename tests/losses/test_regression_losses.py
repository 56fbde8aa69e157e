from __future__ import annotations

import pytest
import torch

from mmvt.losses.base import Loss
from mmvt.losses.regression import L1, MSE, SmoothL1

LOSSES = (MSE(), L1(), SmoothL1())

LOGITS = torch.tensor([[1.0, 2.0], [-3.0, 0.25]])
TARGETS = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # differences 0, 2, -4 and 1/4


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (MSE(), (0 + 4 + 16 + 1 / 16) / 4),
        (L1(), (0 + 2 + 4 + 1 / 4) / 4),
        (SmoothL1(), (0 + 1.5 + 3.5 + 1 / 32) / 4),
    ],
)
def test_the_mean_difference(loss: Loss, expected: float):
    assert loss(logits=LOGITS, targets=TARGETS).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_computed_in_full_precision(loss: Loss):
    logits, targets = torch.tensor([300.0], dtype=torch.float16), torch.tensor([0.0])
    value = loss(logits=logits, targets=targets.half())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits=logits.float(), targets=targets))


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_gives_zero(loss: Loss):
    assert loss(logits=torch.zeros(0, 2), targets=torch.zeros(0, 2)).item() == 0
