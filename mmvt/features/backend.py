"""Where videos are decoded and encoded: here, or on a cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from typing_extensions import override

from mmvt.features.decode_pool import TIME_LIMIT, Chunk, DecodePool
from mmvt.features.find import Video
from mmvt.features.steps import Encoding, Steps


@dataclass(frozen=True)
class Features:
    """All features of a video, or the reason why there are none.

    Attributes:
        video: the video.
        parts: its features, part by part.
        reason: why it failed; None where it did not.
        duration: seconds of video, None where the file does not say.
    """

    video: Video
    parts: list[Steps]
    reason: str | None
    duration: float | None


class Backend(ABC):
    """Turns videos into features, somewhere."""

    @abstractmethod
    def features(
        self, videos: Sequence[Video], encoding: Encoding
    ) -> Generator[Features, None, None]:
        """Yield the features of each video, in order; close it to end everything it started."""


class LocalBackend(Backend):
    """Decodes in processes and encodes in threads of this machine.

    Args:
        workers: batches that are encoded at the same time, each by one thread.
        decoders: videos that are decoded at the same time, each by one process.
        time_limit: seconds that a decoder may be silent before its video fails.
    """

    def __init__(self, workers: int = 1, decoders: int = 1, time_limit: float = TIME_LIMIT) -> None:
        self.workers = workers
        self.decoders = decoders
        self.time_limit = time_limit

    @override
    def features(
        self, videos: Sequence[Video], encoding: Encoding
    ) -> Generator[Features, None, None]:
        with DecodePool(self.decoders, encoding.request, time_limit=self.time_limit) as pool:
            encoded = _in_parallel(pool.chunks_and_pauses(videos), encoding, self.workers)
            for found in _in_order(_whole(encoded)):
                pool.done()
                yield found


def _in_parallel(
    chunks: Iterable[Chunk | None], encoding: Encoding, workers: int
) -> Iterator[tuple[Chunk, Steps | None]]:
    """Yield chunks with their rows, in the order they came, several being encoded at a time.

    Workers with one thread each do not wait for each other at every layer, as the threads of one
    operation do: on a busy machine that makes several times the difference. It also makes the
    rows independent of their number.

    Args:
        chunks: the chunks, and None from time to time while there is none; what is encoded by then
            is not held back, for the decoders may wait for it before they go on.
        encoding: makes the rows.
        workers: chunks that are encoded at a time.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if workers == 1:  # in this thread, whose memory the encoder has used before
            for chunk in chunks:
                if chunk is not None:
                    yield chunk, _steps(chunk, encoding)
            return
        waiting: deque[tuple[Chunk, Future[Steps | None]]] = deque()
        with ThreadPoolExecutor(workers, "encode", torch.set_num_threads, (1,)) as pool:
            for chunk in chunks:
                if chunk is not None:
                    waiting.append((chunk, pool.submit(_steps, chunk, encoding)))
                while len(waiting) > workers or (
                    chunk is None and waiting and waiting[0][1].done()
                ):
                    first, steps = waiting.popleft()
                    yield first, steps.result()
            while waiting:
                first, steps = waiting.popleft()
                yield first, steps.result()
    finally:
        torch.set_num_threads(threads)


def _steps(chunk: Chunk, encoding: Encoding) -> Steps | None:
    """Return the steps of a chunk; None where it is the end of its video."""
    return None if chunk.times is None else encoding.encode(chunk)


def _whole(chunks: Iterable[tuple[Chunk, Steps | None]]) -> Iterator[tuple[int, Features]]:
    """Yield (number, features) of each video when its last chunk has come."""
    open_videos: dict[int, list[Steps]] = {}
    for chunk, steps in chunks:
        parts = open_videos.setdefault(chunk.number, [])
        if steps is None:
            yield chunk.number, _features(chunk, open_videos.pop(chunk.number))
        else:
            parts.append(steps)


def _in_order(videos: Iterable[tuple[int, Features]]) -> Iterator[Features]:
    """Yield videos by their numbers, without a gap."""
    waiting: dict[int, Features] = {}
    following = 0
    for number, video in videos:
        waiting[number] = video
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _features(end: Chunk, parts: list[Steps]) -> Features:
    return Features(end.video, parts, end.reason, end.duration)
