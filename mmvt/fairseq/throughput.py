"""How long training waits for its batches, in fairseq's log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from fairseq.data.iterators import CountingIterator, EpochBatchIterator
from fairseq.logging import metrics


class TimedBatchIterator(EpochBatchIterator):
    """Logs ``data_wait``: the mean seconds from asking for a batch to having it.

    What is loaded ahead is waited for only if it is late.
    """

    @classmethod
    def of(cls, iterator: EpochBatchIterator) -> TimedBatchIterator:
        """Return the iterator itself, which logs from now on."""
        iterator.__class__ = cls
        assert isinstance(iterator, cls)
        return iterator

    def _get_iterator_for_epoch(self, *args: Any, **kwargs: Any) -> CountingIterator | None:
        batches: CountingIterator | None = super()._get_iterator_for_epoch(*args, **kwargs)
        if batches is not None:
            batches._itr = _timed(batches._itr)
        return batches


def _timed(batches: Iterator[Any]) -> Iterator[Any]:
    while True:
        start = time.perf_counter()
        try:
            batch = next(batches)
        except StopIteration:
            return
        # the name under which fairseq sums up what is logged between two lines
        with metrics.aggregate("train_inner"):
            metrics.log_scalar("data_wait", time.perf_counter() - start, priority=850, round=4)
        yield batch
