from __future__ import annotations

import math

import pytest
import torch

from mmvt.losses.language import LanguageCrossEntropy


def nce(right: float, *wrong: float) -> float:
    return math.log(sum(math.exp(score - right) for score in (right, *wrong)))


def test_logits_are_of_labelled_positions_in_the_order_of_the_batch():
    text_label = torch.tensor([[-100, 2, 1], [0, -100, -100]])
    logits = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
    expected = (nce(2, 0, 1) + nce(1, 0, 0) + nce(3, 0, 1)) / 3
    loss = LanguageCrossEntropy()(logits=logits, text_label=text_label)
    assert loss.item() == pytest.approx(expected)
    half = LanguageCrossEntropy()(logits=logits.half(), text_label=text_label)
    torch.testing.assert_close(half, loss)


def test_no_label_gives_zero():
    loss = LanguageCrossEntropy()(logits=torch.zeros(0, 3), text_label=torch.full((2, 3), -100))
    assert loss.item() == 0
