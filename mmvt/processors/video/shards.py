"""Video features in the shards of the original toolkit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from mmvt.datasets.gather import RowSpans
from mmvt.datasets.original_shards import OriginalStore
from mmvt.processors.base import VideoProcessor


class ShardedVideoProcessor(VideoProcessor):
    """Reads features, one row a second, from shards that the original toolkit wrote.

    Args:
        split: ``train``, ``valid`` or ``test``; the last two both read the shards named ``val``.
        vfeat_dir: folder of the shards and of their list of ids, ``train_meta.pkl``.
    """

    def __init__(self, *, split: Literal["train", "valid", "test"], vfeat_dir: Path) -> None:
        self.store = OriginalStore(vfeat_dir, "train" if split == "train" else "val")

    def __contains__(self, video_id: str) -> bool:
        return video_id in self.store

    @override
    def __call__(self, video_id: str) -> Float[np.ndarray, "steps dim"]:
        return self.store[video_id]

    def row_spans(self, ids: Sequence[str]) -> RowSpans:
        """Return where the rows of videos lie."""
        return self.store.row_spans(ids)
