"""Video features in a feature store."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from typing_extensions import override

from mmvt.datasets.gather import RowSpans
from mmvt.datasets.sharded_tensor import all_finite
from mmvt.datasets.store import FeatureStore
from mmvt.processors.base import TextClips, VideoProcessor
from mmvt.processors.video.by_time import seconds_between, steps_at

logger = logging.getLogger(__name__)


class StoreVideoProcessor(VideoProcessor):
    """Reads features from a store; a grid of rows a step stays a grid.

    Args:
        store: folder of the store.
        input_dim: refuse a store whose rows have another width.
        grid: refuse a store whose steps are not a ``grid`` × ``grid`` map of rows.
        fps: refuse a store with another number of steps a second.
        by_time: a caption covers the steps whose times lie within it, for stores that have times
            and no steady rate; otherwise it covers the whole video there.
        not_finite: what becomes of a video whose features hold NaN or infinity: ``error`` when it
            is read; ``drop`` counts it as missing, for which all videos of a data set are looked
            through at the start; ``zero`` takes such numbers for 0. Each video is told in the log.
    """

    def __init__(
        self,
        *,
        store: Path,
        input_dim: int | None = None,
        grid: int | None = None,
        fps: float | None = None,
        by_time: bool = False,
        not_finite: Literal["error", "drop", "zero"] = "error",
    ) -> None:
        self.store = FeatureStore.open(store)
        expected = {"dim": input_dim, "grid": grid, "fps": fps}
        self.store.require(**{key: value for key, value in expected.items() if value is not None})
        self.fps = self.store.manifest.fps
        self.by_time = by_time
        self.not_finite = not_finite
        self._damaged: set[str] = set()

    def __contains__(self, video_id: str) -> bool:
        return bool(self.contains([video_id])[0])

    def contains(self, video_ids: Sequence[str]) -> Bool[np.ndarray, " videos"]:
        """Return for each id whether there are features of the video."""
        found = self.store.contains(video_ids)
        if self.not_finite != "drop":
            return found
        whole = {
            video_id: all_finite(self.store.unchecked(video_id))
            for video_id in dict.fromkeys(itertools.compress(video_ids, found))
        }
        for video_id, is_whole in whole.items():
            if not is_whole:
                self._tell(video_id, "it is left out")
        return np.array([whole.get(video_id, False) for video_id in video_ids], bool)

    def row_spans(self, ids: Sequence[str]) -> RowSpans | None:
        """Return where the rows of videos lie; None where rows are not taken as they are."""
        store = self.store
        if store.manifest.grid != 1 or self.not_finite == "zero" or self.by_time:
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
        if self.not_finite != "zero":
            return self.store[video_id]
        rows = self.store.unchecked(video_id)
        if all_finite(rows):
            return rows
        self._tell(video_id, f"{(~np.isfinite(rows)).sum()} of {rows.size} are taken for 0")
        return np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)

    @override
    def in_steps(self, video_id: str, clips: TextClips) -> TextClips:
        if not self.by_time:
            return super().in_steps(video_id, clips)
        return steps_at(clips, self.store.times(video_id))

    @override
    def seconds_of(self, video_id: str, steps: slice) -> tuple[float, float]:
        if not self.by_time:
            return super().seconds_of(video_id, steps)
        return seconds_between(self.store.times(video_id), steps)

    def _tell(self, video_id: str, what: str) -> None:
        """Write to the log, once a video, with the number of such videos so far."""
        if video_id in self._damaged:
            return
        self._damaged.add(video_id)
        logger.warning(
            "%s: numbers of %r are not finite; %s (video %d of this kind)",
            self.store.folder,
            video_id,
            what,
            len(self._damaged),
        )
