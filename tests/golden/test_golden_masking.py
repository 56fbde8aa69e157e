"""The keys ``mask.*`` of the golden case ``aligners/ds_aligners``: hidden frames and tokens.

The original draws with torch; its draws are made again here, in its order, and given to our rules.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from mmvt.processors.masking import (
    Corruption,
    FrameMode,
    TextMode,
    mask_text,
    pick_probability,
)
from mmvt.processors.text.tokenizer import SpecialIds
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden
SPECIAL = SpecialIds(cls=101, sep=102, pad=0, mask=103)
VOCABULARY = 30522
PROBABILITY = 0.15
MODES = {"None": "some"}


@pytest.fixture
def recorded(golden: Golden) -> dict[str, Any]:
    """Return the seed and the recorded tensors by the rest of their names."""
    case = golden.json("aligners/ds_aligners.json")["cases"]["mask"]
    assert f"len(tokenizer)={VOCABULARY}, p=.15" in case["note"]
    tensors = golden.tensors("aligners/ds_aligners.safetensors")
    masks = {key.removeprefix("mask."): t for key, t in tensors.items() if key.startswith("mask.")}
    return {"seed": case["torch_seed"], **masks}


def names(recorded: dict[str, Any], what: str) -> list[str]:
    return sorted({key.split(".")[1] for key in recorded if key.startswith(f"{what}.")})


def test_there_is_nothing_unknown(recorded: dict[str, Any]) -> None:
    assert {key.split(".")[0] for key in recorded} == {"seed", "in", "text", "frame"}
    assert {MODES.get(name, name) for name in names(recorded, "text")} <= set(get_args(TextMode))
    assert {MODES.get(name, name) for name in names(recorded, "frame")} <= set(get_args(FrameMode))


def test_hidden_tokens_are_those_of_the_original(recorded: dict[str, Any]) -> None:
    caps = recorded["in.caps"]
    for name in names(recorded, "text"):
        mode = MODES.get(name, name)
        given = shifted(caps) if mode.startswith("textgen") else caps
        torch.manual_seed(recorded["seed"])
        draws = original_draws(given, pick_probability(mode, PROBABILITY))
        inputs, labels = mask_text(caps, mode, draws, SPECIAL)
        assert torch.equal(inputs, recorded[f"text.{name}.inputs"]), name
        assert torch.equal(labels, recorded[f"text.{name}.labels"]), name


def test_hidden_frames_are_those_of_the_original(recorded: dict[str, Any]) -> None:
    vmask = recorded["in.vmask"]
    for name in names(recorded, "frame"):
        torch.manual_seed(recorded["seed"])
        chance = torch.full(vmask.shape, pick_probability(MODES.get(name, name), PROBABILITY))
        picked = torch.bernoulli(chance.masked_fill(~vmask, 0)).bool()
        assert torch.equal(vmask & picked, recorded[f"frame.{name}"]), name


def shifted(caps: Tensor) -> Tensor:
    """Return a text one to the right behind a second [CLS], without its last [SEP]."""
    words = int((caps != SPECIAL.pad).sum()) - 3
    padding = len(caps) - 3 - words
    head = torch.tensor([SPECIAL.cls, SPECIAL.sep, SPECIAL.cls])
    return torch.cat([head, caps[2 : 2 + words], torch.zeros(padding, dtype=torch.long)])


def original_draws(caps: Tensor, probability: float) -> Corruption:
    special = torch.isin(caps, torch.tensor([SPECIAL.cls, SPECIAL.sep, SPECIAL.pad]))
    return Corruption(
        torch.bernoulli(torch.full(caps.shape, probability).masked_fill(special, 0)).bool(),
        torch.bernoulli(torch.full(caps.shape, 0.8)).bool(),
        torch.bernoulli(torch.full(caps.shape, 0.5)).bool(),
        torch.randint(VOCABULARY, caps.shape),
    )
