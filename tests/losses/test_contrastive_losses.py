from __future__ import annotations

import math

import pytest
import torch

from mmvt.losses.base import Loss
from mmvt.losses.contrastive import NCE, SymmetricNCE, TextToVideoNCE, VideoToTextNCE

LOSSES = (SymmetricNCE(), TextToVideoNCE(), VideoToTextNCE())

# row = video, column = text
SCORES = torch.tensor([[2.0, 0.0], [1.0, 1.0]])


def nce(right: float, *wrong: float) -> float:
    return math.log(sum(math.exp(score - right) for score in (right, *wrong)))


def test_video_to_text_ranks_the_texts_of_each_video():
    expected = (nce(2, 0) + nce(1, 1)) / 2
    assert VideoToTextNCE()(scores=SCORES).item() == pytest.approx(expected)


def test_text_to_video_ranks_the_videos_of_each_text():
    expected = (nce(2, 1) + nce(1, 0)) / 2
    assert TextToVideoNCE()(scores=SCORES).item() == pytest.approx(expected)


def test_the_symmetric_loss_is_the_sum_of_both():
    expected = (nce(2, 0) + nce(1, 1) + nce(2, 1) + nce(1, 0)) / 2
    assert SymmetricNCE()(scores=SCORES).item() == pytest.approx(expected)


def test_a_target_is_shared_among_all_positives_of_a_row():
    # pairs 0 and 1 are duplicates of each other
    scores = torch.tensor([[2.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 3.0]])
    positives = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    shared = (nce(2, 0, 1) + nce(0, 2, 1)) / 2 + (nce(1, 1, 0) + nce(1, 1, 0)) / 2
    expected = (shared + nce(3, 0, 1)) / 3
    forth = VideoToTextNCE()(scores=scores, positives=positives)
    assert forth.item() == pytest.approx(expected)
    back = TextToVideoNCE()(scores=scores.T, positives=positives.T)
    torch.testing.assert_close(back, forth)
    both = SymmetricNCE()(scores=scores, positives=positives)
    torch.testing.assert_close(both, forth + TextToVideoNCE()(scores=scores, positives=positives))


@pytest.mark.parametrize("loss", LOSSES)
def test_positives_on_the_diagonal_alone_change_nothing(loss: Loss):
    scores = torch.randn(4, 4)
    alone = loss(scores=scores, positives=torch.eye(4, dtype=torch.bool))
    torch.testing.assert_close(alone, loss(scores=scores))


@pytest.mark.parametrize("loss", LOSSES)
def test_one_pair_has_nothing_to_be_told_from(loss: Loss):
    assert loss(scores=torch.tensor([[3.0]])).item() == 0.0


@pytest.mark.parametrize("loss", LOSSES)
def test_permuting_the_pairs_does_not_change_the_loss(loss: Loss):
    scores = torch.randn(6, 6)
    order = torch.randperm(6)
    torch.testing.assert_close(loss(scores=scores[order][:, order]), loss(scores=scores))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_not_hidden(loss: Loss, bad: float):
    scores = torch.zeros(2, 2)
    scores[0, 1] = bad
    assert not loss(scores=scores).isfinite()


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_scores_are_compared_in_full_precision(loss: Loss):
    scores = torch.tensor([[300.0, 299.5], [0.0, 0.5]], dtype=torch.float16)
    value = loss(scores=scores)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(scores=scores.float()))


def test_matching_scores_set_each_right_pair_against_all_wrong_ones():
    # the second column does not count
    align_scores = torch.tensor([[2.0, 9.0], [1.0, 9.0], [0.0, -9.0], [0.5, 9.0]])
    expected = (nce(2, 0, 0.5) + nce(1, 0, 0.5)) / 2
    assert NCE()(align_scores=align_scores).item() == pytest.approx(expected)
