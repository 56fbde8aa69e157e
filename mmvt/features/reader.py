"""Frames of a video as chunks of RGB arrays, in memory that does not grow with its length.

Frames pass through FFmpeg's own filters inside the process (``fps``, ``scale``, ``crop``), so they
are the bytes that the ffmpeg command line gives for the same filters. What is imported here is paid
for in the memory of every process that decodes, and so there are no types from jaxtyping.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from mmvt.errors import MediaError
from mmvt.features.container import anew_in_each_process
from mmvt.features.media import MAX_PIXELS, MAX_SECONDS, VideoFile, VideoInfo, probe
from mmvt.features.pictures import Pictures, linked, pulled
from mmvt.features.select import frames_at, segment_midpoints

__all__ = ["FrameChunk", "VideoInfo", "probe", "read_frames"]


class FrameChunk(NamedTuple):
    """Consecutive frames of a video.

    Attributes:
        frames: (n, height, width, 3) RGB; a view of a buffer that the next chunk overwrites.
        times: (n,) seconds from the start of the file.
    """

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]


def read_frames(
    path: str | Path,
    *,
    fps: float | None = None,
    num_segments: int | None = None,
    short_side: int | None = None,
    crop: int | None = None,
    chunk: int = 32,
    threads: int = 1,
    max_pixels: int = MAX_PIXELS,
    max_seconds: float = MAX_SECONDS,
) -> Iterator[FrameChunk]:
    """Return an iterator over the frames of a video, upright, as chunks of RGB.

    Either ``fps`` or ``num_segments`` says which frames. At a constant rate, frame i is the last
    one before (i + 0.5) / fps seconds, repeated or left out where the video runs slower or faster;
    a video has at least one. With segments, it is the one on display in the middle of the i-th of
    equal parts; all but a few frames are then skipped without decoding.

    Args:
        path: a video file.
        fps: frames a second.
        num_segments: number of frames, however long the video is.
        short_side: pixels to which the shorter side is scaled (bicubic); None keeps the size.
        crop: side in pixels of the square cut from the centre; None keeps the whole frame.
        chunk: frames a chunk, fewer in the last.
        threads: threads of the decoder.
        max_pixels: largest width × height that is decoded.
        max_seconds: longest duration that is decoded.

    Raises:
        MediaError: while iterating; the file is missing, is no video, is cut off or damaged, has
            no frame, or is larger than the limits.
        ValueError: not exactly one of ``fps`` and ``num_segments`` is given, or a number is out
            of range.
    """
    _check_options(fps, num_segments, short_side, crop, chunk)

    def chunks() -> Iterator[FrameChunk]:
        # opened on the first step, so that an iterator that is never used holds no file
        with VideoFile(
            Path(path), threads=threads, max_pixels=max_pixels, max_seconds=max_seconds
        ) as video:
            filters = _Filters(video, fps, short_side, crop)
            if num_segments is None:
                pictures = _at_rate(video, filters)
            else:
                pictures = _at_segments(video, filters, num_segments)
            yield from _in_chunks(pictures, chunk)

    return anew_in_each_process(chunks)


def _check_options(
    fps: float | None,
    num_segments: int | None,
    short_side: int | None,
    crop: int | None,
    chunk: int,
) -> None:
    if (fps is None) == (num_segments is None):
        raise ValueError("give either fps or num_segments")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps must be positive, not {fps}")
    for name, number in {
        "num_segments": num_segments,
        "short_side": short_side,
        "crop": crop,
        "chunk": chunk,
    }.items():
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}")
    if short_side is not None and crop is not None and crop > short_side:
        raise ValueError(f"crop ({crop}) is larger than short_side ({short_side})")


class _Filters:
    """FFmpeg's filters from decoded frames to upright RGB frames of the wanted size and rate.

    A frame that the rate repeats is scaled once; FFmpeg's own graph would scale each copy.
    """

    def __init__(
        self, video: VideoFile, fps: float | None, short_side: int | None, crop: int | None
    ) -> None:
        self._video = video
        self._fps = fps
        self._short_side = short_side
        self._crop = crop
        self._pace: Graph | None = None
        self._pictures: Pictures | None = None
        self._size = (0, 0)
        self._address = 0
        self._picture: VideoFrame | None = None
        self.made_any = False

    def without_rate(self) -> _Filters:
        """Return the same filters, but for single frames."""
        return _Filters(self._video, None, self._short_side, self._crop)

    def push(self, frame: VideoFrame) -> Iterator[tuple[float, VideoFrame]]:
        """Yield the (seconds, RGB frame) that become ready with a decoded frame."""
        size = (frame.width, frame.height)
        if self._pictures is None:
            self._size = size
            try:
                self._pictures = Pictures(frame, self._short_side, self._crop)
            except MediaError as error:
                raise MediaError(f"{self._video.path}: {error}") from None
            if self._fps is not None:
                self._pace = linked(frame, [("fps", f"fps={self._fps}:start_time=0")])
        elif size != self._size:
            raise MediaError(
                f"{self._video.path}: the picture changes from {self._size[0]} x {self._size[1]} "
                f"to {size[0]} x {size[1]} pixels"
            )
        if self._pace is None:
            yield from self._made([frame])
        else:
            self._pace.vpush(frame)
            yield from self._made(pulled(self._pace))

    def flush(self) -> Iterator[tuple[float, VideoFrame]]:
        """Yield the frames that wait for the end of the video."""
        if self._pace is not None:
            self._pace.vpush(None)
            yield from self._made(pulled(self._pace))

    def _made(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[float, VideoFrame]]:
        for frame in frames:
            address = frame.planes[0].buffer_ptr
            if self._picture is None or address != self._address:
                assert self._pictures is not None
                self._picture = self._pictures(frame)
                # kept with its picture, so that no other frame can take its place in memory
                self._address, self._source = address, frame
            self.made_any = True
            yield float(frame.time), self._picture


def _at_rate(video: VideoFile, filters: _Filters) -> Iterator[tuple[float, VideoFrame]]:
    shown = None
    for _, frame in video.frames():
        shown = shown or frame
        yield from filters.push(frame)
    yield from filters.flush()
    if shown is not None and not filters.made_any:
        # FFmpeg rounds a video of less than half a step to no frame at all
        for _, picture in filters.without_rate().push(shown):
            yield 0.0, picture


def _at_segments(
    video: VideoFile, filters: _Filters, num_segments: int
) -> Iterator[tuple[float, VideoFrame]]:
    timeline = video.timeline()
    times = segment_midpoints(timeline.end, num_segments)
    for seconds, frame in frames_at(video, timeline, times):
        for _, picture in filters.push(frame):
            yield seconds, picture


def _in_chunks(pictures: Iterator[tuple[float, VideoFrame]], chunk: int) -> Iterator[FrameChunk]:
    buffer = np.empty((0,), np.uint8)
    times = np.empty(chunk, np.float64)
    count = 0
    for seconds, picture in pictures:
        if buffer.size == 0:
            buffer = np.empty((chunk, picture.height, picture.width, 3), np.uint8)
        plane = picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(picture.height, plane.line_size)
        buffer[count] = rows[:, : 3 * picture.width].reshape(buffer.shape[1:])
        times[count] = seconds
        count += 1
        if count == chunk:
            yield FrameChunk(buffer, times)
            count = 0
    if count:
        yield FrameChunk(buffer[:count], times[:count])
