"""Video features in a feature store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from mmvt.datasets.gather import RowSpans
from mmvt.datasets.store import FeatureStore
from mmvt.processors.base import VideoProcessor


class StoreVideoProcessor(VideoProcessor):
    """Reads features from a store; a grid of rows a step stays a grid.

    Args:
        store: folder of the store.
        input_dim: refuse a store whose rows have another width.
        grid: refuse a store whose steps are not a ``grid`` × ``grid`` map of rows.
        fps: refuse a store with another number of steps a second.
    """

    def __init__(
        self,
        *,
        store: Path,
        input_dim: int | None = None,
        grid: int | None = None,
        fps: float | None = None,
    ) -> None:
        self.store = FeatureStore.open(store)
        expected = {"dim": input_dim, "grid": grid, "fps": fps}
        self.store.require(**{key: value for key, value in expected.items() if value is not None})
        self.fps = self.store.manifest.fps

    def __contains__(self, video_id: str) -> bool:
        return video_id in self.store

    def row_spans(self, ids: Sequence[str]) -> RowSpans | None:
        """Return where the rows of videos lie; None where a step is a grid of rows."""
        store = self.store
        if store.manifest.grid != 1:
            return None
        places = [store.place(video_id) for video_id in ids]
        starts = [store.shard(shard).rows.starts[at : at + 2] for shard, at in places]
        first, stop = np.array(starts, np.int64).reshape(-1, 2).T
        prefixes = [store.folder / shard.name for shard in store.manifest.shards]
        return RowSpans(prefixes, np.array([shard for shard, _ in places]), first, stop - first)

    @override
    def __call__(self, video_id: str) -> Float[np.ndarray, "steps *grid dim"]:
        return self.store[video_id]
