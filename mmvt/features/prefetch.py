"""Makes items in the background while others are used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_PATIENCE_SECONDS = 0.1


class _Stop(Generic[T]):
    """The end of a stream, with the error that ended it."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterator[T], ahead: int) -> Iterator[T]:
    """Yield the same items, made in a background thread that is at most ``ahead`` of the consumer.

    An error of the producer is raised here. When the consumer stops early, the producer stops too.
    """
    ready: queue.Queue[T | _Stop[T]] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(item: T | _Stop[T]) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=_PATIENCE_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        end: _Stop[T] = _Stop()
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as error:
            end = _Stop(error)
        put(end)

    thread = threading.Thread(target=produce, name="decode", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _Stop):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        thread.join()
