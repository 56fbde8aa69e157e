"""Which frames of a video are taken when only a few are wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from av.video.frame import VideoFrame

from mmvt.errors import MediaError
from mmvt.features.media import Timeline, VideoFile

logger = logging.getLogger(__name__)

_SAME_TIME = 1e-6


def segment_midpoints(duration: float, count: int) -> list[float]:
    """Return the middle of each of ``count`` equal segments, in seconds.

    Args:
        duration: seconds of video.
        count: number of segments.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"the number of segments must be at least 1, not {count}")
    return [(index + 0.5) * duration / count for index in range(count)]


def frames_at(
    video: VideoFile, timeline: Timeline, times: Sequence[float]
) -> Iterator[tuple[float, VideoFrame]]:
    """Yield (seconds, frame) for the frame that is on display at each of ``times``.

    That is the last frame that starts at or before the time, else the first of the video. Frames
    between two times are decoded only where no keyframe lets the decoder jump ahead, so the work
    grows with the number of times and not with the length of the video.

    Args:
        video: the open video.
        timeline: its timeline.
        times: seconds, ascending.

    Raises:
        MediaError: nothing can be decoded.
    """
    cursor = _Cursor(video, timeline)
    for seconds in times:
        yield cursor.at(seconds)


class _Cursor:
    """Moves forward through a video, by decoding or by jumping to a later keyframe."""

    def __init__(self, video: VideoFile, timeline: Timeline) -> None:
        self._video = video
        self._timeline = timeline
        self._can_jump = True
        self._shown: tuple[float, VideoFrame]
        self._next: tuple[float, VideoFrame] | None
        self._restart()

    def at(self, seconds: float) -> tuple[float, VideoFrame]:
        """Return the frame on display at a time that is not before the previous one."""
        keyframe = self._timeline.keyframe_before(seconds)
        latest = self._shown if self._next is None else self._next
        if self._can_jump and keyframe > latest[0]:
            self._jump(keyframe, seconds)
        while self._next is not None and self._next[0] <= seconds + _SAME_TIME:
            self._shown = self._next
            self._next = next(self._frames, None)
        return self._shown

    def _restart(self) -> None:
        self._frames = self._video.frames()
        self._shown = next(self._frames)
        self._next = next(self._frames, None)

    def _jump(self, keyframe: float, seconds: float) -> None:
        self._video.seek(keyframe)
        try:
            self._restart()
        except MediaError:
            self._can_jump = False
        if not self._can_jump or self._shown[0] > seconds + _SAME_TIME:
            # this file cannot be entered at its keyframes: decode all of it, once
            logger.debug("%s: keyframe at %.3f s does not decode", self._video.path, keyframe)
            self._can_jump = False
            self._video.rewind()
            self._restart()
