"""fairseq's view of a model: the architecture ``mmarch``."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model
from omegaconf import DictConfig
from torch import Tensor

from mmvt.checkpoint import FAIRSEQ_PREFIX, State, check_fit
from mmvt.fairseq.task import FairseqMultimodalTask
from mmvt.models.convert_mmpt import from_mmpt, is_mmpt
from mmvt.models.lora import with_adapters
from mmvt.models.model import MultimodalModel

logger = logging.getLogger(__name__)

# a task's own, and a table that nothing reads
_OF_THE_TASK = re.compile(r"head\..*|trunk\.bert\.embeddings\.seg_embeddings\.weight")


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
        return cls(task.recipe.model_in_training())

    def upgrade_state_dict_named(self, state_dict: State, name: str) -> None:
        """Make weights of another task, or of the original toolkit, those of this model.

        A head that they lack, or have in another shape, begins anew, and theirs is left out. So do
        adapters, if they have none at all. All else must fit.

        Args:
            state_dict: weights of a checkpoint; they are replaced.
            name: what stands before this model's keys.

        Raises:
            CheckpointError: with every key that is missing, unexpected, or of another shape.
        """
        prefix = f"{name}.{FAIRSEQ_PREFIX}" if name else FAIRSEQ_PREFIX
        weights = {key.removeprefix(prefix): value for key, value in state_dict.items()}
        ours = from_mmpt(weights) if is_mmpt(weights) else weights
        fitted = fit_head(with_adapters(ours, self.mmmodel.state_dict()), self.mmmodel)
        check_fit(self.mmmodel, fitted)
        state_dict.clear()
        state_dict.update({prefix + key: value for key, value in fitted.items()})

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the model's outputs."""
        outputs: dict[str, Tensor] = self.mmmodel(**batch)
        return outputs


def fit_head(weights: Mapping[str, Tensor], model: MultimodalModel) -> State:
    """Return weights with the model's own head in place of one that does not fit."""
    own = model.state_dict()
    fits = {key for key, value in weights.items() if key in own and own[key].shape == value.shape}
    left_out = [key for key in weights if _OF_THE_TASK.fullmatch(key) and key not in fits]
    begun = [key for key in own if _OF_THE_TASK.fullmatch(key) and key not in fits]
    for what, keys in (("left out", left_out), ("begun anew", begun)):
        if keys:
            logger.warning("weights %s: %s", what, ", ".join(keys))
    kept = {key: value for key, value in weights.items() if key not in left_out}
    return {**kept, **{key: own[key] for key in begun}}
