"""The vectors of all training videos, made by all workers together."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmvt.errors import DataError
from mmvt.models.heads.contrastive import gather_rows


class VectorPool:
    """One vector a video; each worker adds those of its share.

    Args:
        videos: number of videos.
        rank: which worker this is, from 0.
        workers: number of workers.

    Attributes:
        share: the videos of this worker.
    """

    def __init__(self, videos: int, rank: int = 0, workers: int = 1) -> None:
        self.share: Int[np.ndarray, " own"] = np.array_split(np.arange(videos), workers)[rank]
        self._workers = workers
        self._rows: list[Tensor] = []

    def add(
        self,
        pooled_video: Float[Tensor, "clips dim"],
        pooled_text: Float[Tensor, "clips dim"],
        videos: int,
    ) -> None:
        """Add the next videos of the share, in its order.

        A video is the mean over its clips of half the sum of the vectors of clip and text.

        Args:
            pooled_video: vectors of the clips, video after video, each with as many.
            pooled_text: vectors of their texts.
            videos: how many videos they are of.
        """
        both = (pooled_video.float() + pooled_text.float()) / 2
        self._rows.append(both.unflatten(0, (videos, -1)).mean(1))

    def gather(self) -> Float[Tensor, "videos dim"]:
        """Return the vectors of all videos; every worker has to call it.

        Raises:
            DataError: a vector is not finite.
        """
        rows = torch.cat(self._rows)
        rows = gather_rows(rows) if self._workers > 1 else rows
        if not rows.isfinite().all():
            raise DataError("the model made vectors that are not finite; there are no near videos")
        return rows
