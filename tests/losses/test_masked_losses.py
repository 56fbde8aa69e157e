from __future__ import annotations

import math

import pytest
import torch

from mmvt.losses.base import Loss
from mmvt.losses.masked import MFMMLM, MTM

# two masked frames; two masked words of a vocabulary of 3, in a batch of 2 × 3
TEXT_LABEL = torch.tensor([[-100, 2, -100], [0, -100, -100]])
NO_LABEL = torch.full((2, 3), -100)


def nce(right: float, *wrong: float) -> float:
    return math.log(sum(math.exp(score - right) for score in (right, *wrong)))


def test_frames_and_words_are_two_objectives_that_are_added():
    video_logits = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
    text_logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]])
    frames = (nce(1, 0) + nce(0.5, 2)) / 2
    words = (nce(2, 0, 1) + nce(3, 0, 0)) / 2
    loss = MFMMLM()(video_logits=video_logits, text_logits=text_logits, text_label=TEXT_LABEL)
    assert loss.item() == pytest.approx(frames + words)
    # the original divides by 0 here
    no_frame = MFMMLM()(
        video_logits=video_logits[:0], text_logits=text_logits, text_label=TEXT_LABEL
    )
    assert no_frame.item() == pytest.approx(words)
    no_word = MFMMLM()(video_logits=video_logits, text_logits=text_logits[:0], text_label=NO_LABEL)
    assert no_word.item() == pytest.approx(frames)


def test_frames_and_words_are_one_objective_with_the_same_candidates():
    # own frame, one other frame, 3 words | 3 words, one frame
    video_logits = torch.tensor([[1.0, 0.0, 0.0, 2.0, 0.0]])
    text_logits = torch.tensor([[0.0, 1.0, 2.0, -1.0], [3.0, 0.0, 0.0, 1.0]])
    # the column that words lack has the logit 0
    words = [nce(2, 0, 1, -1, 0), nce(3, 0, 0, 1, 0)]
    loss = MTM()(video_logits=video_logits, text_logits=text_logits, text_label=TEXT_LABEL)
    assert loss.item() == pytest.approx((nce(1, 0, 0, 2, 0) + sum(words)) / 3)
    no_frame = MTM()(video_logits=video_logits[:0], text_logits=text_logits, text_label=TEXT_LABEL)
    assert no_frame.item() == pytest.approx(sum(words) / 2)


@pytest.mark.parametrize("loss", [MFMMLM(), MTM()])
def test_a_batch_without_anything_masked_gives_zero_and_gradients_of_zero(loss: Loss):
    weight = torch.ones(1, requires_grad=True)
    loss(
        video_logits=torch.zeros(0, 5) * weight,
        text_logits=torch.zeros(0, 4) * weight,
        text_label=NO_LABEL,
    ).backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [0.0]


@pytest.mark.parametrize("loss", [MFMMLM(), MTM()])
def test_half_precision_is_computed_in_full_precision(loss: Loss):
    logits = {
        "video_logits": torch.tensor([[300.0, 299.5, 0, 0, 0]]),
        "text_logits": torch.tensor([[0.0, 300, 299.5, 0], [1, 2, 3, 4]]),
    }
    value = loss(**{k: v.half() for k, v in logits.items()}, text_label=TEXT_LABEL)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(**logits, text_label=TEXT_LABEL))
