from __future__ import annotations

import math

import pytest
import torch

from mmvt.errors import ConfigError
from mmvt.losses.contrastive import SymmetricNCE
from mmvt.losses.milnce import MILNCE

# two videos with two candidates each
SCORES = torch.tensor([[2.0, -1.0, 0.5, 0.0], [1.0, 0.0, 3.0, 1.5]])


def test_candidates_count_together_against_both_kinds_of_wrong_pairs():
    terms = []
    for own, other_texts, other_video in (
        ((2.0, -1.0), (0.5, 0.0), (1.0, 0.0)),
        ((3.0, 1.5), (1.0, 0.0), (0.5, 0.0)),
    ):
        right = sum(math.exp(score) for score in own)
        wrong = sum(math.exp(score) for score in (*other_texts, *other_video))
        terms.append(-math.log(right / (right + wrong)))
    assert MILNCE()(scores=SCORES).item() == pytest.approx(sum(terms) / 2)


def test_one_video_has_nothing_to_be_told_from():
    scores = torch.tensor([[1.0, -2.0, 0.0]], requires_grad=True)
    loss = MILNCE()(scores=scores)
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_the_order_of_candidates_does_not_matter():
    swapped = SCORES[:, [1, 0, 3, 2]]
    torch.testing.assert_close(MILNCE()(scores=swapped), MILNCE()(scores=SCORES))


def test_one_candidate_makes_both_directions_one_softmax():
    scores = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    expected = (
        math.log((math.e**2 + 1 + math.e) / math.e**2)
        + math.log((2 * math.e + 1) / math.e)
    ) / 2  # fmt: skip
    assert MILNCE()(scores=scores).item() == pytest.approx(expected)
    assert MILNCE()(scores=scores) < SymmetricNCE()(scores=scores)


def test_half_precision_is_computed_in_full_precision():
    large = SCORES * 100
    value = MILNCE()(scores=large.half())
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, MILNCE()(scores=large.half().float()))


def test_a_loss_that_is_not_finite_is_not_hidden():
    scores = SCORES.clone()
    scores[0, 3] = float("nan")
    assert not MILNCE()(scores=scores).isfinite()


def test_videos_must_share_candidates_evenly():
    with pytest.raises(ConfigError, match="3 candidate captions cannot be shared among 2 videos"):
        MILNCE()(scores=torch.zeros(2, 3))
