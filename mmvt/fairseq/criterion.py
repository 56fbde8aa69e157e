"""fairseq's view of a loss: the criterion ``mmloss``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from omegaconf import DictConfig
from torch import Tensor, nn

from mmvt.fairseq.guard import LossGuard
from mmvt.fairseq.task import FairseqMultimodalTask


@dataclass
class MMLossConfig(FairseqDataclass):
    """Options of ``mmloss``: none, the recipe says it all."""


@register_criterion("mmloss", dataclass=MMLossConfig)
class FairseqMultimodalCriterion(FairseqCriterion):
    """Computes the recipe's loss; a batch counts as one sample, as its loss is a mean.

    Args:
        task: the task whose recipe names the loss.

    Attributes:
        guard: watches the losses of training, once there is a trainer.
    """

    def __init__(self, task: FairseqMultimodalTask) -> None:
        super().__init__(task)
        self.loss = task.recipe.loss()
        self.guard: LossGuard | None = None

    @classmethod
    def build_criterion(
        cls, cfg: DictConfig, task: FairseqMultimodalTask
    ) -> FairseqMultimodalCriterion:
        """Return the criterion of the task's recipe."""
        return cls(task)

    def forward(
        self, model: nn.Module, sample: Mapping[str, Any]
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Return (loss, 1, what to log); ``sample`` is not changed."""
        loss, _ = self.task.task.compute(model, self.loss, sample)
        if self.guard is not None and model.training:
            self.guard.see(loss, sample["video_id"])
        examples = len(sample["video_id"])
        log = {"loss": loss.detach(), "sample_size": 1, "nsentences": examples, "ntokens": examples}
        # several may be drawn of each example
        log["clips"] = sample["caps"].shape[:-1].numel()
        return loss, 1, log

    @classmethod
    def reduce_metrics(cls, logging_outputs: list[dict[str, Any]]) -> None:
        """Log the mean loss of all workers' batches, and how many clips they make a second."""
        total = sum(float(log["loss"]) for log in logging_outputs)
        count = sum(log["sample_size"] for log in logging_outputs)
        known = count > 0 and math.isfinite(total)  # one update that is left out spoils no mean
        metrics.log_scalar("loss", total / count if known else 0.0, count * known, round=4)
        clips = sum(int(log["clips"]) for log in logging_outputs)
        metrics.log_speed("clips_per_second", clips, priority=95, round=1)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Return True: every logged value is a sum over batches."""
        return True
