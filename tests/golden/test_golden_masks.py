"""Attention masks against those of the original."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mmvt.models.attention_masks import causal_attention, isolated_attention, joint_mask
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden

FILE = "masks/masks.safetensors"
ISOLATED = re.compile(r"mm_iso(\d+)of(\d+)$")


def everything(vmasks: Tensor, cmasks: Tensor) -> Tensor:
    """Return the mask of no restriction but padding, a row a position."""
    real = joint_mask(vmasks, cmasks)
    return real[:, None].expand(-1, real.shape[1], -1)


MODES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "full": everything,
    "no": everything,
    "textgen": lambda vmasks, cmasks: causal_attention(vmasks, cmasks, "text"),
    "videogen": lambda vmasks, cmasks: causal_attention(vmasks, cmasks, "video"),
}


def recorded(golden: Golden) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of each recording by the rest of their names."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in golden.tensors(FILE).items():
        name, _, rest = key.partition(".")
        groups.setdefault(name, {})[rest] = tensor
    return groups


def test_every_recording_is_of_a_known_kind(golden: Golden):
    for name in recorded(golden):
        assert name == "coin_dummy" or name.startswith("mask2d_") or ISOLATED.match(name), name


def test_two_dimensional_masks_are_the_originals(golden: Golden):
    for name, case in recorded(golden).items():
        if name.startswith("mask2d_"):
            vmasks, cmasks = case.pop("in.vmask")[None], case.pop("in.cmask")[None]
            for mode, mask in case.items():
                assert torch.equal(MODES[mode](vmasks, cmasks)[0], mask), f"{name} {mode}"


def test_isolated_masks_of_each_layer_are_the_originals(golden: Golden):
    for name, case in recorded(golden).items():
        if match := ISOLATED.match(name):
            check_layers(case, int(match[1]), int(match[2]))
        elif name == "coin_dummy":
            check_layers(case, case["out"].shape[1], case["out"].shape[1])


def check_layers(case: dict[str, Tensor], isolated: int, layers: int) -> None:
    vmasks, cmasks = case.pop("in.vmasks"), case.pop("in.cmasks")
    apart, together = isolated_attention(vmasks, cmasks), everything(vmasks, cmasks)
    types = torch.zeros_like(joint_mask(vmasks, cmasks), dtype=torch.long)
    types[:, vmasks.shape[1] + 2 :] = 1
    expected = {"iso": apart, "token_type_ids": types}
    if isolated == 0:
        expected["out"] = joint_mask(vmasks, cmasks)
    else:
        every = [apart] * isolated + [together] * (layers - isolated)
        # of many layers the first and the last are recorded
        kept = every if case["out"].shape[1] == layers else [every[0], every[-1]]
        expected["out"] = torch.stack(kept, dim=1)
    for name, mask in case.items():
        assert torch.equal(mask, expected[name]), name
