"""Which parameters of a model learn."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase

from torch import nn

from mmvt.errors import ConfigError, did_you_mean

logger = logging.getLogger(__name__)


class Trainable:
    """Says which parameters learn; the others have no gradients and no state of the optimizer.

    A group is the name of a part of the model, such as ``trunk``, ``encoders.video`` or
    ``trunk.lm.model.layers.29``, or a pattern of names of parameters, such as ``*.bias``. What a
    part itself keeps still, such as a language model beside adapters, stays so. Frozen parts still
    drop out as others do.

    Args:
        only: groups that learn; null = all.
        frozen: groups that do not, even where ``only`` names them.
    """

    def __init__(self, *, only: list[str] | None = None, frozen: list[str] | None = None) -> None:
        self.only, self.frozen = only, frozen or []

    def apply(self, model: nn.Module) -> None:
        """Freeze what does not learn.

        A parameter of several names, such as tied embeddings, is in the groups of each.

        Raises:
            ConfigError: the model has nothing of a group, or nothing would learn.
        """
        # parameters by name; a tied one stands under each of its names
        named = dict(model.named_parameters(remove_duplicate=False))
        problems = [
            f"trainable.{key}: no parameter of the model is in {group!r}{_near(group, named)}"
            for key, groups in (("only", self.only or []), ("frozen", self.frozen))
            for group in groups
            if not any(_in(name, group) for name in named)
        ]
        if problems:
            raise ConfigError(problems)
        chosen = _ids(named, ["*"] if self.only is None else self.only) - _ids(named, self.frozen)
        for parameter in model.parameters():
            if id(parameter) not in chosen:
                parameter.requires_grad_(False)
        counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
        learning = sum(count for count, learns in counts if learns)
        if not learning:
            raise ConfigError("trainable leaves no parameter that learns")
        logger.info("%d of %d parameters learn", learning, sum(count for count, _ in counts))


def _in(name: str, group: str) -> bool:
    return name.startswith(f"{group}.") or fnmatchcase(name, group)


def _ids(named: Mapping[str, nn.Parameter], groups: list[str]) -> set[int]:
    return {id(p) for name, p in named.items() if any(_in(name, group) for group in groups)}


def _near(group: str, named: Mapping[str, nn.Parameter]) -> str:
    """Return what was probably meant, of all parts and parameters; else which parts there are."""
    steps = [name.split(".") for name in named]
    depth = group.count(".") + 1
    near = did_you_mean(group, {".".join(step[:depth]) for step in steps})
    return near or f" (it has {', '.join(dict.fromkeys(step[0] for step in steps))})"
