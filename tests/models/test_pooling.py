from __future__ import annotations

import torch

from mmvt.models.pooling import masked_mean, pool_text, pool_video

STATES = torch.tensor([[[1.0], [2.0], [4.0], [8.0]]], dtype=torch.float64)


def test_the_mean_is_over_real_positions_only():
    mask = torch.tensor([[True, False, True, False]])
    assert masked_mean(STATES, mask).tolist() == [[2.5]]


def test_the_mean_of_no_position_is_zero():
    assert masked_mean(STATES, torch.zeros(1, 4, dtype=torch.bool)).tolist() == [[0.0]]


def test_padding_that_is_not_a_number_does_not_reach_the_mean():
    states = STATES.clone()
    states[0, 3] = float("nan")
    assert masked_mean(states, torch.tensor([[True, True, True, False]])).tolist() == [[7 / 3]]


def test_a_video_is_its_real_frames_and_separator_without_cls():
    assert pool_video(STATES, torch.tensor([[True, True]])).tolist() == [[14 / 3]]
    assert pool_video(STATES, torch.tensor([[True, False]])).tolist() == [[5.0]]
    assert pool_video(STATES, torch.tensor([[False, False]])).tolist() == [[8.0]]


def test_a_text_is_its_words_and_closing_separator_without_cls():
    # caps has one more column: the video's [SEP]
    full = torch.tensor([[True, True, True, True, True]])
    assert pool_text(STATES, full).tolist() == [[14 / 3]]
    cut = torch.tensor([[True, True, True, True, False]])
    assert pool_text(STATES, cut).tolist() == [[3.0]]
    # the mask of [CLS] and of the video's [SEP] says nothing about the text
    dummy = torch.tensor([[False, False, True, True, False]])
    assert pool_text(STATES, dummy).tolist() == [[3.0]]


def test_pooling_keeps_half_precision():
    assert masked_mean(STATES.half(), torch.ones(1, 4, dtype=torch.bool)).dtype == torch.float16
