"""Parts of videos: ids with times, and features cut by them."""

from __future__ import annotations

import math
import re
from collections.abc import Container

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from mmvt.errors import StoreError
from mmvt.processors.base import VideoProcessor

_CLIP = re.compile(r"(.+)@(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


class ClipVideoProcessor(VideoProcessor):
    """Cuts parts out of the features of whole videos.

    ``name@12-15.5`` are the steps that the seconds 12 to 15.5 of the video ``name`` touch; an id
    without times is a whole video.

    Args:
        videos: loads the features of whole videos.
        suffix: what their ids have behind the names in the annotations, such as ``.mp4``.
    """

    def __init__(self, *, videos: VideoProcessor, suffix: str = "") -> None:
        self.videos = videos
        self.suffix = suffix
        self.fps = videos.fps

    def __contains__(self, video_id: str) -> bool:
        name = split_clip(video_id)[0] + self.suffix
        return not isinstance(self.videos, Container) or name in self.videos

    @override
    def __call__(self, video_id: str) -> Float[np.ndarray, "steps *grid dim"]:
        name, start, end = split_clip(video_id)
        features = self.videos(name + self.suffix)
        if end == math.inf:
            return features
        if self.fps == 0:
            raise StoreError(
                "parts with times need features with a steady number of steps a second"
            )
        first, stop = math.floor(start * self.fps), math.ceil(end * self.fps)
        if first >= len(features):
            raise StoreError(
                f"starts at step {first}, but the features of {name + self.suffix!r} have only "
                f"{len(features)}"
            )
        return features[first : max(stop, first + 1)]

    @override
    def name_of(self, video_id: str) -> str:
        return self.videos.name_of(split_clip(video_id)[0] + self.suffix)

    @override
    def seconds_of(self, video_id: str, steps: slice) -> tuple[float, float]:
        name, start, end = split_clip(video_id)
        first = 0 if end == math.inf else math.floor(start * self.fps)
        part = slice(first + steps.start, first + steps.stop)
        return self.videos.seconds_of(name + self.suffix, part)


def clip_id(video_id: str, start: float, end: float) -> str:
    """Return the id of a part of a video.

    Args:
        video_id: id of the video.
        start: seconds from its start.
        end: seconds.
    """
    times = (f"{seconds:.6f}".rstrip("0").rstrip(".") for seconds in (start, end))
    return f"{video_id}@{'-'.join(times)}"


def split_clip(video_id: str) -> tuple[str, float, float]:
    """Return (video, start, end) of an id, in seconds; a whole video ends at ``inf``."""
    match = _CLIP.fullmatch(video_id)
    if match is None:
        return video_id, 0.0, math.inf
    return match[1], float(match[2]), float(match[3])
