"""The contract of tasks: what happens to a batch between the dataset and the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmvt.losses.base import Loss
from mmvt.models.base import consumed_ports


class Task:
    """Runs model and loss on a batch.

    Args:
        subsampling: examples that the aligner draws of one video; their dimension is merged into
            the batch before the model sees it.
        seed: the run's seed.
    """

    def __init__(self, *, subsampling: int = 1, seed: int = 1) -> None:
        self.subsampling = subsampling
        self.seed = seed

    def flatten(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the batch with (B, s, …) tensors as (B·s, …); ``index`` stays one a video.

        An aligner of evaluation draws one example a video: such a batch has no s to merge. The
        tensors given are not changed.
        """
        masks = batch.get("vmasks")
        if self.subsampling == 1 or masks is None or masks.dim() == 2:
            return dict(batch)
        return {
            key: value.flatten(0, 1) if isinstance(value, Tensor) and key != "index" else value
            for key, value in batch.items()
        }

    def compute(
        self, model: nn.Module, loss: Loss, batch: Mapping[str, Any]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return (loss, outputs of the model) of a batch as it comes from the dataset.

        Args:
            model: a :class:`~mmvt.models.model.MultimodalModel`, or what wraps one for training.
            loss: what is trained for.
            batch: the wire keys, and ids as lists.
        """
        flat = self.flatten(batch)
        outputs = model(**{key: value for key, value in flat.items() if isinstance(value, Tensor)})
        values = {**flat, **outputs}
        required, optional = consumed_ports(loss)
        ports = [*required, *(name for name in optional if name in values)]
        return loss(**{name: values[name] for name in ports}), outputs
