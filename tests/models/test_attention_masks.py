from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmvt.models.attention_masks import (
    causal_attention,
    isolated_attention,
    joint_mask,
    key_mask,
    layer_mask,
)


def booleans(*rows: str) -> Tensor:
    """Return a matrix, a string a row."""
    return torch.tensor([[letter == "1" for letter in row.replace(" ", "")] for row in rows])


VMASKS = booleans("110")  # the third frame is padding
CMASKS = booleans("11110")  # [CLS], the video's [SEP], a word, the closing [SEP], padding


def test_the_joint_mask_puts_the_frames_behind_cls():
    assert torch.equal(joint_mask(VMASKS, CMASKS), booleans("1 110 1 110"))


def test_isolation_keeps_cls_video_and_text_apart():
    expected = booleans(
        "1 000 0 000",
        *["0 110 1 000"] * 4,
        *["0 000 0 110"] * 3,
    )
    assert torch.equal(isolated_attention(VMASKS, CMASKS)[0], expected)


def test_an_isolated_cls_sees_itself_though_it_is_masked():
    seen = isolated_attention(VMASKS, booleans("01010"))[0]
    assert seen[0].tolist() == [True, *[False] * 7]
    assert seen[6].tolist() == [*[False] * 6, True, False]


def test_text_is_generated_from_left_to_right_given_the_video():
    expected = booleans(
        *["1 110 1 000"] * 5,
        "1 110 1 100",
        "1 110 1 110",
        "1 110 1 000",  # padding sees no text, itself included
    )
    assert torch.equal(causal_attention(VMASKS, CMASKS, "text")[0], expected)


def test_video_is_generated_from_left_to_right_given_the_text():
    expected = booleans(
        "1 000 0 110",
        "1 100 0 110",
        "1 110 0 110",
        "1 000 0 110",
        "1 110 1 110",  # the video's [SEP] comes last
        *["1 000 0 110"] * 3,
    )
    assert torch.equal(causal_attention(VMASKS, CMASKS, "video")[0], expected)


@pytest.mark.parametrize("frames", [0, 1])
def test_there_may_be_hardly_any_frames(frames: int):
    vmasks = torch.ones(1, frames, dtype=torch.bool)
    isolated = isolated_attention(vmasks, CMASKS)[0]
    assert isolated[1].tolist() == [False, *[True] * (frames + 1), *[False] * 3]
    causal = causal_attention(vmasks, CMASKS, "text")[0]
    assert causal[-2].tolist() == [*[True] * (frames + 4), False]


def test_every_position_sees_the_real_ones():
    mask = key_mask(torch.tensor([[True, False], [False, False]]))
    assert mask.tolist() == [[[[True, False], [True, False]]], [[[True, True], [True, True]]]]


def test_who_sees_nothing_sees_everything():
    mask = layer_mask(torch.tensor([[[True, False], [False, False]]]))
    assert mask.tolist() == [[[[True, False], [True, True]]]]
