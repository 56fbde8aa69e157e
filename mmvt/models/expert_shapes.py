"""What each of several experts has to say, as a YAML describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mmvt.errors import ConfigError, did_you_mean
from mmvt.expert_order import MAIN, ordered
from mmvt.models.token_budget import TokensAStep


@dataclass(frozen=True, kw_only=True)
class ExpertShape:
    """What an expert has to say in a step of the video.

    Attributes:
        input_dim: width of its rows.
        grid: a step of its own is a map of ``grid`` × ``grid`` rows.
        rows: how many steps of its own.
        tokens_a_step: what becomes of a map.
        is_main: it is the video itself, of which nothing is ever missing.
    """

    input_dim: int
    grid: int = 1
    rows: int = 1
    tokens_a_step: TokensAStep = "auto"
    is_main: bool = False

    @property
    def columns(self) -> int:
        """The number of its columns, with those that say whether it is there."""
        width = self.rows * self.grid**2 * self.input_dim
        return width if self.is_main else width + self.rows


def expert_shapes(experts: Mapping[str, Any]) -> dict[str, ExpertShape]:
    """Return the shapes of experts as a YAML describes them, in their order.

    Raises:
        ConfigError: with every problem of every expert.
    """
    problems = [problem for name in experts for problem in _problems_of(name, experts[name])]
    if MAIN not in experts:
        problems.append(f"experts needs {MAIN}, the features of the video itself")
    elif isinstance(experts[MAIN], Mapping) and experts[MAIN].get("rows", 1) != 1:
        problems.append(f"experts.{MAIN}.rows must be 1: a step is a step of the video")
    if problems:
        raise ConfigError(problems)
    return {name: ExpertShape(**experts[name], is_main=name == MAIN) for name in ordered(experts)}


def _problems_of(name: str, described: Any) -> list[str]:
    if not name.isidentifier() or not isinstance(described, Mapping):
        return [f"experts.{name} must be a name with input_dim and the like, not {described!r}"]
    known = [item.name for item in fields(ExpertShape) if item.name != "is_main"]
    problems = [
        f"experts.{name}.{key} is no field of an expert{did_you_mean(key, known)}"
        for key in described
        if key not in known
    ]
    if "input_dim" not in described:
        problems.append(f"experts.{name}.input_dim is missing")
    for key, value in described.items():
        words = ("all", "mean", "auto") if key == "tokens_a_step" else ()
        if key in known and value not in words and (type(value) is not int or value < 1):
            choices = ", ".join([*words, "a number of at least 1"])
            problems.append(f"experts.{name}.{key} must be {choices}, not {value!r}")
    return problems
