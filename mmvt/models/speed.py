"""Options of training that change time and memory, and no result."""

from __future__ import annotations

from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from mmvt.errors import ConfigError
from mmvt.models.model import MultimodalModel


class Speed:
    """Makes training faster, or need less memory; the loss stays the same.

    Weights and their names are untouched: checkpoints fit models without these options.

    Args:
        compile: make one program of each transformer layer by ``torch.compile``; padding is then
            computed as well. The first steps take long, and more so the more lengths there are.
        recompute: keep no states inside of transformer layers for the backward pass, which
            computes them again: less memory, more time.
    """

    def __init__(self, *, compile: bool = False, recompute: bool = False) -> None:  # noqa: A002  # the key of a YAML
        self.compile = compile
        self.recompute = recompute

    def apply(self, model: MultimodalModel) -> None:
        """Change how a model is run.

        Args:
            model: the model.

        Raises:
            ConfigError: it is to be compiled, and its trunk to leave padding out.
        """
        if self.compile and model.trunk.packed:
            raise ConfigError("trunk.packed and speed.compile exclude each other; unset one")
        for module in list(model.modules()):
            if self.recompute and isinstance(module, PreTrainedModel):
                module.activation_checkpointing_enable()
            if self.compile and isinstance(module, GradientCheckpointingLayer):
                module.compile()
        if self.compile:
            model.trunk.packed = False
