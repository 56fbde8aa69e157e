"""Video features in a feature store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
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

    def contains(self, video_ids: Sequence[str]) -> Bool[np.ndarray, " videos"]:
        """Return for each id whether there are features of the video."""
        return self.store.contains(video_ids)

    def row_spans(self, ids: Sequence[str]) -> RowSpans | None:
        """Return where the rows of videos lie; None where a step is a grid of rows."""
        store = self.store
        if store.manifest.grid != 1:
            return None
        shards, positions = store.places(ids)
        first, stop = np.zeros((2, len(ids)), np.int64)
        for shard in np.unique(shards).tolist():
            starts, those = store.shard(shard).rows.starts, shards == shard
            first[those], stop[those] = starts[positions[those]], starts[positions[those] + 1]
        prefixes = [store.folder / shard.name for shard in store.manifest.shards]
        return RowSpans(prefixes, shards, first, stop - first)

    @override
    def __call__(self, video_id: str) -> Float[np.ndarray, "steps *grid dim"]:
        return self.store[video_id]
