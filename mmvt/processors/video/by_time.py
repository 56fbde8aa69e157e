"""Captions of videos whose steps come at times of their own, not at a steady rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from mmvt.errors import ConfigError, StoreError
from mmvt.processors.base import TextClips


def steps_at(clips: TextClips, times: Float[np.ndarray, " steps"]) -> TextClips:
    """Return captions with times in steps: those whose time lies from a start to before its end.

    A caption in whose time there is no step gets the one that is nearest to its start.

    Args:
        clips: captions in time order, with times in seconds.
        times: seconds of each step.

    Raises:
        ConfigError: captions come with labels that have times too.
        StoreError: the times are not in order.
    """
    if type(clips) is not TextClips:
        raise ConfigError(f"by_time is for plain captions, not {type(clips).__name__}")
    if (np.diff(times) < 0).any():
        raise StoreError("the times of its steps are not in order")
    first, stop = np.searchsorted(times, clips.start), np.searchsorted(times, clips.end)
    before = np.maximum(first - 1, 0)
    after = np.minimum(first, len(times) - 1)
    is_before = clips.start - times[before] < times[after] - clips.start
    nearest = np.where(is_before, before, after)
    # captions stay in the order of their starts
    first = np.maximum.accumulate(np.where(stop > first, first, nearest))
    stop = np.maximum(stop, first + 1)
    return replace(clips, start=first.astype(np.float64), end=stop.astype(np.float64))


def seconds_between(times: Float[np.ndarray, " steps"], steps: slice) -> tuple[float, float]:
    """Return start and end of steps: half-way to their neighbours, or the ends of the video.

    Args:
        times: seconds of each step, in order.
        steps: at least one.
    """
    borders = [0.0, *((times[:-1] + times[1:]) / 2).tolist(), np.inf]
    return borders[steps.start], borders[steps.stop]
