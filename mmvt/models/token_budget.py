"""How many tokens a step each expert gets, so that all steps of a video fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal, NamedTuple

from mmvt.errors import ConfigError

logger = logging.getLogger(__name__)

TokensAStep = Literal["all", "mean", "auto"] | int


class MapSize(NamedTuple):
    """What an expert has to say of a video.

    Attributes:
        steps: most steps.
        grid: a step is a map of ``grid`` × ``grid`` rows.
        tokens_a_step: ``all`` rows, their ``mean``, a number k for k × k, or ``auto`` = as many as
            the budget allows.
    """

    steps: int
    grid: int = 1
    tokens_a_step: TokensAStep = "all"


def plan_tokens(experts: Mapping[str, MapSize], budget: int | None) -> dict[str, int]:
    """Return for each expert the k of the k × k tokens that a step of it becomes.

    Those that are ``auto`` begin with one token a step. Then, in rounds and in the order given,
    each goes on to the next k for as long as that fits; k ends at the grid, which is every row.
    Without a budget that is where they all end.

    Raises:
        ConfigError: a k is larger than the grid or below 1, or the tokens do not fit even so.
    """
    sides = {name: _first_side(name, expert) for name, expert in experts.items()}
    growing = [name for name, expert in experts.items() if expert.tokens_a_step == "auto"]
    if budget is not None and _total(experts, sides) > budget:
        raise ConfigError(
            f"token_budget is {budget}, but videos have up to {_total(experts, sides)} tokens: "
            f"{_told(experts, sides)}; lower max_video_len"
            + (", or set tokens_a_step: auto" if len(growing) < len(experts) else "")
        )
    while growing:
        for name in list(growing):
            larger = sides | {name: sides[name] + 1}
            fits = budget is None or _total(experts, larger) <= budget
            if fits and larger[name] <= experts[name].grid:
                sides = larger
            else:
                growing.remove(name)
    if budget is not None:
        total = _total(experts, sides)
        logger.info("%d of %d tokens a video: %s", total, budget, _told(experts, sides))
    return sides


def _first_side(name: str, expert: MapSize) -> int:
    chosen = expert.tokens_a_step
    side = {"all": expert.grid, "mean": 1, "auto": 1}[chosen] if isinstance(chosen, str) else chosen
    if not 1 <= side <= expert.grid:
        raise ConfigError(
            f"tokens_a_step of {name} is {side}, but must be from 1 to its grid, {expert.grid}"
        )
    return side


def _total(experts: Mapping[str, MapSize], sides: Mapping[str, int]) -> int:
    return sum(expert.steps * sides[name] ** 2 for name, expert in experts.items())


def _told(experts: Mapping[str, MapSize], sides: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name} {expert.steps} steps x {sides[name] ** 2}" for name, expert in experts.items()
    )
