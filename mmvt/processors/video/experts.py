"""Features of a video and of further experts, in time with each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from typing_extensions import override

from mmvt.datasets.store import FeatureStore
from mmvt.errors import ConfigError, DataError
from mmvt.expert_order import MAIN, ordered
from mmvt.processors.base import TextClips, VideoProcessor
from mmvt.processors.splits import named
from mmvt.processors.video.expert_rows import in_time, joined
from mmvt.processors.video.store import StoreVideoProcessor

logger = logging.getLogger(__name__)


class ExpertsVideoProcessor(VideoProcessor):
    """Reads the features of a video and what other experts say at the same time, from stores.

    The steps are those of ``store``. An expert with more steps a second gives each step the mean of
    those within it, one with fewer the same again; see
    :func:`~mmvt.processors.video.expert_rows.in_time`. Where one of the stores has no steady rate,
    the steps of both are taken to cover the same time. All that an expert says becomes columns of
    the step, which :class:`~mmvt.models.experts.ExpertsEncoder` takes apart, so that a clip is a
    clip of every expert.

    Args:
        store: folder of the store of the video's features.
        experts: folders of the stores of further experts, by name.
        expert_rows: in how many equal parts of a step an expert is asked, by name; 1 unless set.
        by_time: a caption covers the steps of ``store`` whose times lie within it; see
            :class:`~mmvt.processors.video.store.StoreVideoProcessor`.
        missing_experts: take it that an expert which lacks a video has nothing to say of it, which
            is counted in the log, instead of refusing.

    Raises:
        ConfigError: a name is no name of an expert, or a number is below 1.
    """

    def __init__(
        self,
        *,
        store: Path,
        experts: dict[str, Path],
        expert_rows: dict[str, int] | None = None,
        by_time: bool = False,
        missing_experts: bool = False,
    ) -> None:
        if MAIN in experts:
            raise ConfigError(f"experts.{MAIN} is the store itself; give the expert another name")
        self.main = StoreVideoProcessor(store=store, by_time=by_time)
        self.fps = self.main.fps
        self.experts = {name: FeatureStore.open(experts[name]) for name in ordered(experts)}
        self.rows = expert_rows or {}
        for name, rows in self.rows.items():
            if name not in experts or rows < 1:
                raise ConfigError(
                    f"expert_rows.{name} is {rows}, but must be at least 1 and one of the experts "
                    f"{', '.join(experts)}"
                )
        self.missing_experts = missing_experts

    def __contains__(self, video_id: str) -> bool:
        return bool(self.contains([video_id])[0])

    def contains(self, video_ids: Sequence[str]) -> Bool[np.ndarray, " videos"]:
        """Return for each id whether there are features of the video.

        Raises:
            DataError: an expert lacks some of these, and may not.
        """
        found = self.main.contains(video_ids)
        there = list(dict.fromkeys(np.array(video_ids, object)[found].tolist()))
        for name in self.experts:
            self._check(name, there)
        return found

    @override
    def __call__(self, video_id: str) -> Float[np.ndarray, "steps columns"]:
        main = self.main(video_id)
        return joined(main, [self._said(name, video_id, len(main)) for name in self.experts])

    @override
    def in_steps(self, video_id: str, clips: TextClips) -> TextClips:
        return self.main.in_steps(video_id, clips)

    @override
    def seconds_of(self, video_id: str, steps: slice) -> tuple[float, float]:
        return self.main.seconds_of(video_id, steps)

    def _said(
        self, name: str, video_id: str, steps: int
    ) -> tuple[Float[np.ndarray, "own_steps *grid dim"], Bool[np.ndarray, " own_steps"]]:
        store, rows = self.experts[name], self.rows.get(name, 1)
        if not store.contains([video_id])[0]:
            if not self.missing_experts:
                self._check(name, [video_id])
            grid = store.manifest.grid
            row = (store.manifest.dim,) if grid == 1 else (grid**2, store.manifest.dim)
            return in_time(np.zeros((0, *row), np.float32), 1.0, steps * rows)
        features, own = store[video_id], store.manifest.fps
        steady = own > 0 and self.fps > 0
        rate = own / self.fps if steady else len(features) / max(steps, 1)
        return in_time(features, rate / rows, steps * rows)

    def _check(self, name: str, video_ids: Sequence[str]) -> None:
        found = self.experts[name].contains(video_ids)
        lacking = [
            video_id for video_id, is_there in zip(video_ids, found, strict=True) if not is_there
        ]
        told = f"expert {name} lacks {len(lacking)} of {len(video_ids)} videos: {named(lacking)}"
        if lacking and not self.missing_experts:
            raise DataError(f"{told}; with missing_experts: true it has nothing to say of them")
        if lacking:
            logger.warning("%s; it has nothing to say of them", told)
