"""Sound of a media file as windows of mono samples, in memory that does not grow with its length.

Like :mod:`mmvt.features.reader` it is imported by every process that decodes, and so there are no
types from jaxtyping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.filter import Graph
from numpy.typing import NDArray

from mmvt.errors import MediaError
from mmvt.features.container import Clock, anew_in_each_process, named_errors, open_container
from mmvt.features.media import CONTAINERS, MAX_SECONDS

SAMPLE_RATE = 16000
_FORMATS = f"{CONTAINERS},wav,mp3,flac,aac,aiff,w64,caf"
_WHAT = "media"
_DAMAGED_SHARE = 0.01
# the resampler fills a gap with silence at once, so that a false time could ask for any memory
_LONGEST_GAP_SECONDS = 3600.0


class SoundChunk(NamedTuple):
    """A window of sound.

    Attributes:
        samples: (n,) from -1 to 1.
        time: seconds from the start of the file to the first of them.
    """

    samples: NDArray[np.float32]
    time: float


def read_sound(
    path: str | Path,
    *,
    window: int,
    hop: int | None = None,
    rate: int = SAMPLE_RATE,
    max_seconds: float = MAX_SECONDS,
) -> Iterator[SoundChunk]:
    """Return an iterator over the sound of a file, mono, as windows of equal length.

    Times are those of :func:`~mmvt.features.reader.read_frames`: where the sound begins after the
    picture, or has a gap, there is silence. Channels are averaged.

    Args:
        path: a file of video or sound.
        window: samples a window; the last may be shorter.
        hop: samples from the beginning of a window to that of the next; None = ``window``.
        rate: samples a second.
        max_seconds: longest duration that is decoded.

    Raises:
        MediaError: while iterating; the file is missing, is no media file, has no sound, is cut
            off or damaged, or longer than the limit.
        ValueError: a number is out of range.
    """
    step = window if hop is None else hop
    if not 1 <= step <= window:
        raise ValueError(f"hop must be from 1 to window ({window}), not {hop}")

    def chunks() -> Iterator[SoundChunk]:
        # opened on the first step, so that an iterator that is never used holds no file
        with _SoundFile(Path(path), max_seconds) as sound:
            yield from _windows(_resampled(sound, rate), window, step, rate)

    return anew_in_each_process(chunks)


class _SoundFile:
    """The first sound of a file that is open for reading."""

    def __init__(self, path: Path, max_seconds: float) -> None:
        self.path = path
        self._max_seconds = max_seconds
        self._container = open_container(path, _FORMATS, _WHAT)
        try:
            self._stream = self._first_stream()
            self._is_timed, self._said = self._said_duration()
            if self._said is not None and self._said > max_seconds:
                raise MediaError(f"{path}: {self._said:.0f} s long, more than {max_seconds:.0f} s")
        except BaseException:
            self._container.close()
            raise
        self._stream.codec_context.thread_count = 1
        self._start = (self._container.start_time or 0) / 1e6

    def __enter__(self) -> _SoundFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._container.close()

    def frames(self) -> Iterator[AudioFrame]:
        """Yield decoded frames, whose ``pts`` count from the start of the file."""
        count = damaged = 0
        end = 0.0
        for packet in self._packets():
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                damaged += 1
                continue
            for frame in frames:
                count += 1
                end = self._timed(frame, end)
                yield frame
        if count == 0:
            raise MediaError(f"{self.path}: none of its sound can be decoded")
        if damaged > max(1, _DAMAGED_SHARE * count):
            raise MediaError(f"{self.path}: damaged, {damaged} parts of the sound fail to decode")

    def _packets(self) -> Iterator[av.Packet[AudioStream]]:
        """Yield the packets of the sound; at the end, raise where some are missing."""
        clock = Clock(self.path, self._stream.index, self._said)
        whole = [self._stream] if self._is_timed else self._container.streams
        with named_errors(self.path, _WHAT):
            demuxer = self._container.demux(*whole)
        while True:
            with named_errors(self.path, _WHAT):
                packet = next(demuxer, None)
            if packet is None:
                clock.check_complete()
                return
            clock.add(packet)
            if packet.stream_index == self._stream.index:
                yield cast("av.Packet[AudioStream]", packet)

    def _timed(self, frame: AudioFrame, end: float) -> float:
        """Set the time of a frame that follows one that ended at ``end``; return its own end."""
        base = frame.time_base
        if frame.pts is None or not base:
            raise MediaError(f"{self.path}: a part of the sound has no time stamp")
        frame.pts -= round(self._start / base)
        start = float(frame.pts * base)
        if start > self._max_seconds:
            raise MediaError(f"{self.path}: longer than the limit of {self._max_seconds:.0f} s")
        if start - end > _LONGEST_GAP_SECONDS:
            raise MediaError(f"{self.path}: there is no sound for {start - end:.0f} s")
        return max(end, start + frame.samples / frame.sample_rate)

    def _first_stream(self) -> AudioStream:
        for stream in self._container.streams.audio:
            if stream.codec_context is not None:
                return stream
        raise MediaError(f"{self.path}: has no sound")

    def _said_duration(self) -> tuple[bool, float | None]:
        """Return whether the headers time the sound itself, and seconds: of it, or of the file."""
        stream = self._stream
        if self._container.format.name == "avi":
            # the durations of a cut AVI file shrink with its size; the number of frames does not
            for video in self._container.streams.video:
                if video.frames and video.average_rate:
                    return False, float(video.frames / video.average_rate)
        if stream.duration and stream.time_base:
            return True, float(stream.duration * stream.time_base)
        return False, self._container.duration / 1e6 if self._container.duration else None


def _resampled(sound: _SoundFile, rate: int) -> Iterator[NDArray[np.float32]]:
    """Yield mono samples from second 0 on, without a gap."""
    graph: Graph | None = None
    form = None
    for frame in sound.frames():
        here = (frame.sample_rate, frame.layout.name, frame.format.name)
        if graph is None:
            form, graph = here, _graph(frame, rate)
        elif here != form:
            raise MediaError(f"{sound.path}: the sound changes from {form} to {here}")
        graph.push(frame)
        yield from _ready(graph)
    assert graph is not None
    graph.push(None)
    yield from _ready(graph)


def _graph(frame: AudioFrame, rate: int) -> Graph:
    graph = Graph()
    graph.threads = 1
    source = graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=frame.time_base,
    )
    # without the largest sum, two channels would be added up to more than 1
    form = f"{rate}:osf=flt:ochl=mono:rematrix_maxval=1"
    steps = (("aresample", f"{form}:async=1:first_pts=0"), ("abuffersink", None))
    graph.link_nodes(source, *[graph.add(name, options) for name, options in steps]).configure()
    return graph


def _ready(graph: Graph) -> Iterator[NDArray[np.float32]]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame.to_ndarray()[0]


def _windows(
    parts: Iterable[NDArray[np.float32]], window: int, hop: int, rate: int
) -> Iterator[SoundChunk]:
    waiting: list[NDArray[np.float32]] = []
    length = begin = 0
    for part in parts:
        waiting.append(part)
        length += len(part)
        if length < window:
            continue
        samples = np.concatenate(waiting)
        while len(samples) >= window:
            yield SoundChunk(samples[:window], begin / rate)
            samples = samples[hop:]
            begin += hop
        waiting, length = [samples], len(samples)
    # what the window before has seen already is no window of its own
    if length > window - hop or (begin == 0 and length):
        yield SoundChunk(np.concatenate(waiting), begin / rate)
