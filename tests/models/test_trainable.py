from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from mmvt.errors import ConfigError
from mmvt.models.trainable import Trainable


class Tied(nn.Module):
    """Three parts, of which the last has the weight of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 2)
        self.trunk = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        self.head = nn.Linear(2, 5, bias=False)
        self.head.weight = self.words.weight


def learning(trainable: Trainable) -> set[str]:
    """Return the names of what learns."""
    model = Tied()
    trainable.apply(model)
    return {name for name, p in model.named_parameters() if p.requires_grad}


ALL = {"words.weight", "trunk.0.weight", "trunk.0.bias", "trunk.1.weight", "trunk.1.bias"}


@pytest.mark.parametrize(
    ("only", "frozen", "expected"),
    [
        (None, None, ALL),
        (None, ["trunk"], {"words.weight"}),
        (None, ["*.bias"], {"words.weight", "trunk.0.weight", "trunk.1.weight"}),
        (["trunk.1"], None, {"trunk.1.weight", "trunk.1.bias"}),
        (["trunk.1.bias"], None, {"trunk.1.bias"}),
        (["trunk"], ["trunk.0"], {"trunk.1.weight", "trunk.1.bias"}),
        (["head"], None, {"words.weight"}),  # one parameter, under either of its names
        (None, ["head"], ALL - {"words.weight"}),
    ],
)
def test_groups_are_parts_or_patterns(
    only: list[str] | None, frozen: list[str] | None, expected: set[str]
) -> None:
    assert learning(Trainable(only=only, frozen=frozen)) == expected


def test_what_a_part_keeps_still_stays_so() -> None:
    model = Tied()
    model.trunk[0].requires_grad_(False)
    Trainable(only=["trunk"]).apply(model)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert names == {"trunk.1.weight", "trunk.1.bias"}


def test_what_is_frozen_stays_bit_for_bit_and_has_no_state_of_the_optimizer() -> None:
    model = Tied()
    Trainable(frozen=["trunk.0"]).apply(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.head(model.trunk(model.words(torch.tensor([1, 2])))).square().sum().backward()
    optimizer.step()
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert same == {"trunk.0.weight", "trunk.0.bias"}
    assert len(optimizer.state) == 3


def test_it_is_logged_how_much_learns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Trainable(frozen=["trunk"]).apply(Tied())
    assert "10 of 22 parameters learn" in caplog.text


def test_a_group_of_nothing_is_one_error_for_all_of_them() -> None:
    with pytest.raises(ConfigError) as error:
        Trainable(only=["trunk", "haed"], frozen=["trnk.0", "x"]).apply(Tied())
    assert error.value.problems == [
        "trainable.only: no parameter of the model is in 'haed'; did you mean head?",
        "trainable.frozen: no parameter of the model is in 'trnk.0'; did you mean trunk.0?",
        "trainable.frozen: no parameter of the model is in 'x' (it has words, trunk, head)",
    ]


def test_a_model_of_which_nothing_learns_is_refused() -> None:
    with pytest.raises(ConfigError, match="leaves no parameter that learns"):
        Trainable(frozen=["*"]).apply(Tied())
