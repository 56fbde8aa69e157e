"""Adam in one pass over the parameters: the optimizer ``fused_adam``.

fairseq reads the types of a dataclass's fields, so annotations are not postponed in this file.
"""

import ast
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II, DictConfig
from torch import Tensor


@dataclass
class FusedAdamConfig(FairseqDataclass):
    """Options of ``fused_adam``, which are those of fairseq's ``adam``."""

    adam_betas: Any = field(default=(0.9, 0.999), metadata={"help": "decay of the two means"})
    adam_eps: float = field(default=1e-8, metadata={"help": "added to the denominator"})
    weight_decay: float = field(default=0.0, metadata={"help": "weight decay"})
    lr: list[float] = II("optimization.lr")  # noqa: RUF009  # text


@register_optimizer("fused_adam", dataclass=FusedAdamConfig)
class FusedAdam(FairseqOptimizer):
    """Makes the updates of fairseq's ``adam``, on a CPU as on a GPU, in a fraction of the time.

    Args:
        cfg: the options.
        params: what is trained.
    """

    supports_flat_params = True

    def __init__(self, cfg: DictConfig, params: Iterable[Tensor]) -> None:
        super().__init__(cfg)
        self._optimizer = LateEpsilonAdam(params, **self.optimizer_config)

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """What takes the place of a checkpoint's options."""
        betas = self.cfg.adam_betas
        return {
            "lr": float(self.cfg.lr[0]),
            "betas": tuple(ast.literal_eval(betas) if isinstance(betas, str) else betas),
            "eps": self.cfg.adam_eps,
            "weight_decay": self.cfg.weight_decay,
        }


class LateEpsilonAdam(torch.optim.AdamW):
    """AdamW that adds epsilon to the denominator before its bias is corrected, as fairseq does.

    Args:
        params: what is trained.
        lr: learning rate.
        betas: decay of the two means.
        eps: added to the denominator.
        weight_decay: times the learning rate, what weights lose in an update.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, fused=True)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # overloads
        """Make an update; returns what ``closure`` does."""
        epsilons = [group["eps"] for group in self.param_groups]
        for group in self.param_groups:
            # torch corrects the root before it adds epsilon: undo that for epsilon
            group["updates"] = group.get("updates", 0) + 1
            group["eps"] /= math.sqrt(1 - group["betas"][1] ** group["updates"])
        try:
            return super().step(closure)
        finally:
            for group, epsilon in zip(self.param_groups, epsilons, strict=True):
                group["eps"] = epsilon
