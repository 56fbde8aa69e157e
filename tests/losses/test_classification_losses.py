from __future__ import annotations

import math

import pytest
import torch

from mmvt.losses.classification import ArgmaxCrossEntropy, BinaryCrossEntropy, CrossEntropy

LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0], [1.0, 1.0, 1.0], [9.0, 9.0, 0.0]])


def nce(right: float, *wrong: float) -> float:
    return math.log(sum(math.exp(score - right) for score in (right, *wrong)))


def bce(logit: float, right: int) -> float:
    chance = 1 / (1 + math.exp(-logit))
    return -math.log(chance if right else 1 - chance)


def test_classes_are_ranked_at_each_position_and_ignored_ones_do_not_count():
    expected = (nce(1, 2, 0) + nce(3, 0, 0) + nce(1, 1, 1)) / 3
    loss = CrossEntropy()(logits=LOGITS, targets=torch.tensor([2, 1, 0, -100]))
    assert loss.item() == pytest.approx(expected)


def test_windows_and_frames_are_positions_alike():
    targets = torch.tensor([2, 1, 0, -100])
    flat = CrossEntropy()(logits=LOGITS, targets=targets)
    windows = CrossEntropy()(logits=LOGITS.reshape(2, 2, 3), targets=targets.reshape(2, 2))
    assert torch.equal(flat, windows)


def test_the_largest_target_is_the_class_and_the_first_of_equals():
    targets = torch.tensor([[0.0, 0.2, 0.8], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    expected = (nce(1, 2, 0) + nce(3, 0, 0) + nce(1, 1, 1) + nce(9, 9, 0)) / 4
    loss = ArgmaxCrossEntropy()(logits=LOGITS, targets=targets)
    assert loss.item() == pytest.approx(expected)


def test_several_classes_may_be_present_at_once():
    logits = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    targets = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    expected = (bce(1, 1) + bce(-2, 1) + bce(0.5, 0) + bce(3, 0)) / 4
    assert BinaryCrossEntropy()(logits=logits, targets=targets).item() == pytest.approx(expected)
    # targets of one video, as a batch of it
    one = BinaryCrossEntropy()(logits=logits, targets=targets[None])
    assert one.item() == pytest.approx(expected)


def test_a_batch_of_padding_gives_zero_and_gradients_of_zero():
    logits = torch.randn(2, 3, 4, requires_grad=True)
    loss = CrossEntropy()(logits=logits, targets=torch.full((2, 3), -100))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", [ArgmaxCrossEntropy(), BinaryCrossEntropy()])
def test_no_position_gives_zero(loss: torch.nn.Module):
    nothing = torch.zeros(0, 4, requires_grad=True)
    value = loss(logits=nothing, targets=torch.zeros(0, 4))
    value.backward()
    assert value.item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_full_precision(dtype: torch.dtype):
    logits = torch.tensor([[300.0, 299.5], [0.0, 60000.0]], dtype=dtype)
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=dtype)
    for loss in (ArgmaxCrossEntropy(), BinaryCrossEntropy()):
        value = loss(logits=logits, targets=targets)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, loss(logits=logits.float(), targets=targets.float()))
    value = CrossEntropy()(logits=logits, targets=torch.tensor([0, 0]))
    torch.testing.assert_close(
        value, CrossEntropy()(logits=logits.float(), targets=torch.tensor([0, 0]))
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_not_hidden(bad: float):
    logits = torch.tensor([[0.0, bad]])
    assert not CrossEntropy()(logits=logits, targets=torch.tensor([0])).isfinite()
    assert not BinaryCrossEntropy()(logits=logits, targets=torch.zeros(1, 2)).isfinite()
