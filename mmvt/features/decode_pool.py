"""Processes that decode videos while others are encoded; see :mod:`mmvt.features.decoder`."""

from __future__ import annotations

import json
import math
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from jaxtyping import Float32, Float64, UInt8

import mmvt
from mmvt.features.decoder import DONE, FAILED, FRAMES, HEADER, SOUND
from mmvt.features.find import Video

TIME_LIMIT = 300.0
_PATIENCE_SECONDS = 0.1
_PAUSE_SECONDS = 0.02
_PIPE_BYTES = 1 << 20
_AHEAD = 4  # videos a decoder that may be finished before the one that is waited for
# buffers of frames go back to the system: a third less memory, and no slower
_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


@dataclass(frozen=True)
class Chunk:
    """Frames or sound of a video, or its end: then the reason of a failure, or its length.

    Attributes:
        number: place of the video among all.
        video: the video.
        frames: RGB frames.
        samples: mono sound from -1 to 1.
        times: seconds of each frame, or of the first sample; None at the end.
        reason: why the video failed.
        duration: seconds of video, None where the file does not say.
    """

    number: int
    video: Video
    frames: UInt8[np.ndarray, "n height width 3"] | None = None
    samples: Float32[np.ndarray, " n"] | None = None
    times: Float64[np.ndarray, " moments"] | None = None
    reason: str | None = None
    duration: float | None = None


class DecodePool:
    """Decodes several videos at a time, each in a process that is replaced when it dies or hangs.

    A context manager; leaving it ends all processes.

    Args:
        decoders: number of processes.
        options: a request as :mod:`mmvt.features.decoder` takes it, but for the path.
        time_limit: seconds that a decoder may be silent before it is killed and its video fails.
    """

    def __init__(
        self, decoders: int, options: Mapping[str, Any], *, time_limit: float = TIME_LIMIT
    ) -> None:
        self._decoders = [_Decoder(options, time_limit) for _ in range(decoders)]
        self._ready: queue.Queue[Chunk | BaseException | None] = queue.Queue(maxsize=decoders)
        self._room = threading.Semaphore(_AHEAD * decoders)
        self._source_lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for decoder in self._decoders:
            decoder.interrupt()
        for thread in self._threads:
            thread.join()
        for decoder in self._decoders:
            decoder.end()

    def chunks(self, videos: Iterable[Video]) -> Iterator[Chunk]:
        """Yield the chunks of all videos; those of a video in order, videos side by side.

        A video that is far behind the others is waited for: call :meth:`done` when all of a video
        is used, in the order of the videos.
        """
        return (chunk for chunk in self.chunks_and_pauses(videos) if chunk is not None)

    def chunks_and_pauses(self, videos: Iterable[Video]) -> Iterator[Chunk | None]:
        """Yield the chunks of all videos, and None from time to time while there is none.

        Who holds chunks back has to use at None what can be used: the decoders may wait for that.
        """
        source = enumerate(videos)
        self._threads = [
            threading.Thread(target=self._drive, args=(decoder, source), daemon=True)
            for decoder in self._decoders
        ]
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        while running:
            try:
                item = self._ready.get(timeout=_PAUSE_SECONDS)
            except queue.Empty:
                yield None
                continue
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item

    def done(self) -> None:
        """Say that the next video, in order, is out of the way."""
        self._room.release()

    def _drive(self, decoder: _Decoder, source: Iterator[tuple[int, Video]]) -> None:
        try:
            while (task := self._next(source)) is not None:
                for chunk in decoder.decode(*task):
                    if not self._put(chunk):
                        return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _next(self, source: Iterator[tuple[int, Video]]) -> tuple[int, Video] | None:
        while not self._room.acquire(timeout=_PATIENCE_SECONDS):
            if self._stopped.is_set():
                return None
        with self._source_lock:
            return next(source, None)

    def _put(self, item: Chunk | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._ready.put(item, timeout=_PATIENCE_SECONDS)
            except queue.Full:
                continue
            return True
        return False


class _LostDecoderError(Exception):
    """A decoder no longer answers; the message says why."""


class _Decoder:
    """One process; started when first needed, and again after it was lost."""

    def __init__(self, options: Mapping[str, Any], time_limit: float) -> None:
        self._options = dict(options)
        self._time_limit = time_limit
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, number: int, video: Video) -> Iterator[Chunk]:
        """Yield the chunks of a video, the last of which says how it ended."""
        try:
            self._ask({"path": str(video.path), **self._options})
            while True:
                kind, count, height, width, seconds = HEADER.unpack(self._read(HEADER.size).data)
                if kind == FRAMES:
                    times = self._read(8 * count).view(np.float64)
                    frames = self._read(count * height * width * 3)
                    frames = frames.reshape(count, height, width, 3)
                    yield Chunk(number, video, frames=frames, times=times)
                elif kind == SOUND:
                    samples = self._read(4 * count).view(np.float32)
                    yield Chunk(number, video, samples=samples, times=np.array([seconds]))
                elif kind == FAILED:
                    yield Chunk(number, video, reason=self._read(count).tobytes().decode())
                    return
                else:
                    assert kind == DONE
                    duration = None if math.isnan(seconds) else seconds
                    yield Chunk(number, video, duration=duration)
                    return
        except _LostDecoderError as lost:
            self.end()
            yield Chunk(number, video, reason=str(lost))

    def interrupt(self) -> None:
        """Kill the process, from any thread; whoever reads from it notices."""
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """Kill the process, and leave nothing of it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _ask(self, request: Mapping[str, Any]) -> None:
        if self._process is None:
            self._process = _started()
        try:
            _pipe(self._process.stdin).write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._lost() from None

    def _read(self, size: int) -> UInt8[np.ndarray, " size"]:
        """Return the next bytes of the answer.

        Raises:
            _LostDecoderError: the process has ended, or was silent for too long.
        """
        assert self._process is not None
        answer = _pipe(self._process.stdout)
        data = np.empty(size, np.uint8)
        view = data.data
        while view:
            readable, _, _ = select.select([answer], [], [], self._time_limit)
            if not readable:
                raise _LostDecoderError(
                    f"its decoder gave no sign of life for {self._time_limit:g} s"
                )
            received = os.readv(answer.fileno(), [view])
            if received == 0:
                raise self._lost()
            view = view[received:]
        return data

    def _lost(self) -> _LostDecoderError:
        assert self._process is not None
        code = self._process.wait()
        if code < 0:
            return _LostDecoderError(f"its decoder was killed by {signal.Signals(-code).name}")
        return _LostDecoderError(f"its decoder ended with exit code {code}")


def _started() -> subprocess.Popen[bytes]:
    """Start a decoder that finds the package where this process did, and nothing beside it."""
    paths = [str(Path(mmvt.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "mmvt.features.decoder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        bufsize=0,
        pipesize=_PIPE_BYTES,
    )


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
