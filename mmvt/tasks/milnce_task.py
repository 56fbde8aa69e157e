"""The task of MIL-NCE: several candidate captions a video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.tasks.task import Task


class MILNCETask(Task):
    """Merges the candidates of each video into the batch of texts: N videos, N · candidates texts.

    The texts of the first video come first. What a trunk shows of a text beside a video is that of
    its first candidate.

    Source: MIL-NCE (arXiv 1912.06430) §3.2.

    Args:
        num_cands: candidate captions that the aligner gives of each example.
        subsampling: examples that the aligner draws of one video.
        seed: the run's seed.
    """

    def __init__(self, *, num_cands: int = 4, subsampling: int = 1, seed: int = 1) -> None:
        super().__init__(subsampling=subsampling, seed=seed)
        if num_cands < 1:
            raise ConfigError(f"num_cands is {num_cands}, but must be at least 1")
        self.num_cands = num_cands

    @override
    def flatten(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        flat = super().flatten(batch)
        caps, cmasks = flat["caps"], flat["cmasks"]
        if caps.dim() == 2:
            return flat  # evaluation has one caption a video
        if caps.shape[1] != self.num_cands:
            raise ConfigError(
                f"the examples have {caps.shape[1]} candidate captions each, but num_cands is "
                f"{self.num_cands}"
            )
        merged = {"caps": caps.flatten(0, 1), "cmasks": cmasks.flatten(0, 1)}
        return {**flat, **merged, "window_caps": caps[:, 0], "window_cmasks": cmasks[:, 0]}
