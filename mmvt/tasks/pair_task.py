"""The task of VLM's pre-training: examples of a video in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.tasks.task import Task


class PairTask(Task):
    """Orders a batch by pairs of one video: the first of every pair, then the second of every pair.

    Source: VLM (ACL Findings 2021), whose code calls it VLMTask.

    Args:
        subsampling: examples that the aligner draws of one video; an even number.
        seed: the run's seed.
    """

    def __init__(self, *, subsampling: int = 2, seed: int = 1) -> None:
        super().__init__(subsampling=subsampling, seed=seed)
        if subsampling % 2:
            raise ConfigError(f"subsampling is {subsampling}, but PairTask needs an even number")

    @override
    def flatten(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        flat = super().flatten(batch)
        if flat["vmasks"] is batch["vmasks"]:
            return flat  # nothing was merged: evaluation draws one example a video
        return {
            key: _firsts_then_seconds(value)
            if isinstance(value, Tensor) and key != "index"
            else value
            for key, value in flat.items()
        }


def _firsts_then_seconds(rows: Tensor) -> Tensor:
    return rows.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1)
