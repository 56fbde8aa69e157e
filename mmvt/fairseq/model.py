"""fairseq's view of a model: the architecture ``mmarch``."""

from __future__ import annotations

from dataclasses import dataclass

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from omegaconf import DictConfig
from torch import Tensor

from mmvt.fairseq.task import FairseqMultimodalTask
from mmvt.models.model import MultimodalModel


@dataclass
class MMArchConfig(FairseqDataclass):
    """Options of ``mmarch``: none, the recipe says it all."""


@register_model("mmarch", dataclass=MMArchConfig)
class FairseqMultimodalModel(BaseFairseqModel):
    """Holds the model as ``mmmodel``, the prefix of its keys in every checkpoint.

    Args:
        model: the model to train.
    """

    def __init__(self, model: MultimodalModel) -> None:
        super().__init__()
        self.mmmodel = model

    @classmethod
    def build_model(cls, args: DictConfig, task: FairseqMultimodalTask) -> FairseqMultimodalModel:
        """Return the model of the task's recipe."""
        return cls(task.recipe.model())

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the model's outputs."""
        outputs: dict[str, Tensor] = self.mmmodel(**batch)
        return outputs
