"""One open video file: safe to open, decoded in order or from a keyframe, checked to be whole."""

from __future__ import annotations

import logging
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mmvt.errors import MediaError
from mmvt.features.container import Clock, named_errors, open_container

logger = logging.getLogger(__name__)

# Playlists and image sequences are left out: they make a decoder read other files.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpeg,mpegts,mpegvideo,ogg,gif,mxf,rm,wtv"
)
MAX_PIXELS = 8192 * 4608
MAX_SECONDS = 6 * 3600.0
_DAMAGED_SHARE = 0.01


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself.

    Attributes:
        path: the file.
        container: name of its format.
        codec: name of its video codec.
        width: of a displayed frame, in pixels.
        height: of a displayed frame, in pixels.
        rotation: degrees counter-clockwise by which stored frames are turned for display.
        fps: average frame rate, None where it is unknown.
        duration: seconds of video, None where the file does not say.
    """

    path: Path
    container: str
    codec: str
    width: int
    height: int
    rotation: int
    fps: float | None
    duration: float | None


@dataclass(frozen=True)
class Timeline:
    """What a pass over the packets of a file found, without decoding them.

    Attributes:
        end: seconds at which the last packet ends.
        keyframes: (n,) seconds of the frames at which decoding can start, ascending.
    """

    end: float
    keyframes: NDArray[np.float64]

    def keyframe_before(self, seconds: float) -> float:
        """Return the last keyframe at or before a time, else the first."""
        index = int(np.searchsorted(self.keyframes, seconds + 1e-6, side="right")) - 1
        return float(self.keyframes[max(index, 0)]) if self.keyframes.size else 0.0


class VideoFile:
    """A video file that is open for reading; times are seconds from the start of the file.

    Only local regular files in a known container are opened, and no file or address they name.

    Args:
        path: the file.
        threads: threads of the decoder.
        max_pixels: largest width × height that is decoded.
        max_seconds: longest duration that is decoded.

    Raises:
        MediaError: the file is missing, is no video, or is larger than the limits.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        max_pixels: int = MAX_PIXELS,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self.path = path
        self._threads = threads
        self._max_pixels = max_pixels
        self._max_seconds = max_seconds
        self._open()

    def _open(self) -> None:
        self._container = open_container(self.path, CONTAINERS, "video")
        try:
            self._stream = self._first_video_stream()
            self._check_limits()
        except BaseException:
            self.close()
            raise
        self._stream.codec_context.thread_count = self._threads
        # some files say how large they are in their frames alone
        self._stream.codec_context.options = {"max_pixels": str(self._max_pixels)}
        base = self._stream.time_base
        self._seconds_per_tick = float(base) if base else 1.0
        self._start = round((self._container.start_time or 0) / 1e6 / self._seconds_per_tick)
        self._whole = True

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; memory of the decoder is freed at once."""
        self._container.close()

    @property
    def stream(self) -> VideoStream:
        """The video stream that is decoded."""
        return self._stream

    @property
    def info(self) -> VideoInfo:
        """What the file says of itself; rotation is known once a frame was decoded."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return VideoInfo(
            path=self.path,
            container=self._container.format.name,
            codec=self._stream.codec_context.name,
            width=self._stream.codec_context.width,
            height=self._stream.codec_context.height,
            rotation=0,
            fps=float(rate) if rate else None,
            duration=self._said_duration(),
        )

    def frames(self) -> Iterator[tuple[float, VideoFrame]]:
        """Yield (seconds, frame) in display order, from the present position to the end.

        The ``pts`` of a frame counts from the start of the file, in units of its time base.

        Raises:
            MediaError: there is no frame, the data is damaged, or the file is cut off.
        """
        count = damaged = 0
        clock = self._clock()
        stamps = _Stamps()
        for packet in self._packets(clock):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                damaged += 1
                continue
            except av.error.FFmpegError as error:
                raise MediaError(
                    f"{self.path}: cannot be decoded ({error.strerror}): damaged, or has more "
                    f"than {self._max_pixels} pixels"
                ) from error
            for frame in frames:
                count += 1
                damaged += frame.is_corrupt
                yield self._timed(frame, stamps), frame
        if count == 0:
            raise MediaError(f"{self.path}: no frame can be decoded")
        if damaged > max(1, _DAMAGED_SHARE * count):
            raise MediaError(f"{self.path}: damaged, {damaged} parts of the stream fail to decode")
        if damaged:
            logger.warning("%s: skipped %d damaged parts", self.path, damaged)
        if self._whole:
            clock.check_complete()

    def seek(self, seconds: float) -> None:
        """Move to the keyframe at or before a time, as well as the container's index allows."""
        offset = math.floor(seconds / self._seconds_per_tick + 0.5) + self._start
        with named_errors(self.path, "video"):
            self._container.seek(offset, stream=self._stream, backward=True)
        self._whole = False

    def rewind(self) -> None:
        """Go back to the very first frame, which a seek does not reach in every container."""
        self.close()
        self._open()

    def timeline(self) -> Timeline:
        """Return the end and the keyframes of the video; nothing is decoded.

        Raises:
            MediaError: the file is cut off or its packets cannot be read.
        """
        clock = self._clock()
        keyframes = array("d")
        for packet in self._packets(clock):
            if packet.is_keyframe and packet.pts is not None and not packet.is_discard:
                keyframes.append((packet.pts - self._start) * self._seconds_per_tick)
        clock.check_complete()
        self.rewind()
        end = clock.stream_end - self._start * self._seconds_per_tick
        return Timeline(end=end, keyframes=np.sort(np.array(keyframes)))

    def _clock(self) -> Clock:
        return Clock(self.path, self._stream.index, self._said_duration())

    def _packets(self, clock: Clock) -> Iterator[Packet[VideoStream]]:
        # other streams count towards the length only where the video has no length of its own
        streams: list[Stream] = [self._stream]
        if not self._stream.duration:
            streams = [s for s in self._container.streams if s.type in ("video", "audio")]
        with named_errors(self.path, "video"):
            demuxer = self._container.demux(*streams)
        while True:
            with named_errors(self.path, "video"):
                packet = next(demuxer, None)
            if packet is None:
                return
            clock.add(packet)
            if packet.stream_index == self._stream.index:
                yield cast("Packet[VideoStream]", packet)

    def _timed(self, frame: VideoFrame, stamps: _Stamps) -> float:
        ticks = stamps.of(frame)
        if ticks is None:
            raise MediaError(f"{self.path}: a frame has no time stamp")
        frame.pts = ticks - self._start
        seconds = frame.pts * self._seconds_per_tick
        if seconds > self._max_seconds:
            raise MediaError(f"{self.path}: longer than the limit of {self._max_seconds:.0f} s")
        return seconds

    def _first_video_stream(self) -> VideoStream:
        for stream in self._container.streams.video:
            cover = bool(stream.disposition & av.stream.Disposition.attached_pic)
            if stream.codec_context is not None and not cover:
                return stream
        raise MediaError(f"{self.path}: has no video stream")

    def _said_duration(self) -> float | None:
        """Return the duration in the headers: of the video stream, else of the container."""
        stream = self._stream
        if self._container.format.name == "avi" and stream.frames and stream.average_rate:
            # the durations of a cut AVI file shrink with its size; the number of frames does not
            return float(stream.frames / stream.average_rate)
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return self._container.duration / 1e6 if self._container.duration else None

    def _check_limits(self) -> None:
        context = self._stream.codec_context
        if context.width * context.height > self._max_pixels:
            raise MediaError(
                f"{self.path}: {context.width} x {context.height} pixels, "
                f"more than {self._max_pixels}"
            )
        duration = self._said_duration()
        if duration is not None and duration > self._max_seconds:
            raise MediaError(
                f"{self.path}: {duration:.0f} s long, more than {self._max_seconds:.0f} s"
            )


class _Stamps:
    """Chooses between the two time stamps of a frame: old AVI files have one kind that jumps."""

    def __init__(self) -> None:
        self._last_pts = self._last_dts = -math.inf
        self._pts_jumps = self._dts_jumps = 0

    def of(self, frame: VideoFrame) -> int | None:
        """Return the presentation time of a frame in ticks, else its decoding time."""
        if frame.dts is not None:
            self._dts_jumps += frame.dts <= self._last_dts
            self._last_dts = frame.dts
        if frame.pts is not None:
            self._pts_jumps += frame.pts <= self._last_pts
            self._last_pts = frame.pts
            if self._pts_jumps <= self._dts_jumps or frame.dts is None:
                return frame.pts
        return frame.dts


def probe(
    path: str | Path, *, max_pixels: int = MAX_PIXELS, max_seconds: float = MAX_SECONDS
) -> VideoInfo:
    """Return what a video file says of itself, after decoding its first frame.

    Args:
        path: the file.
        max_pixels: largest width × height that is accepted.
        max_seconds: longest duration that is accepted.

    Raises:
        MediaError: the file is missing, is no video, or is larger than the limits.
    """
    with VideoFile(Path(path), max_pixels=max_pixels, max_seconds=max_seconds) as video:
        _, frame = next(video.frames())
        turned = frame.rotation % 180 != 0
        width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
        return replace(video.info, width=width, height=height, rotation=frame.rotation % 360)
