"""Items made in the background."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mmvt.features.prefetch import prefetch


def counted(count: int, made: list[int]) -> Iterator[int]:
    for number in range(count):
        made.append(number)
        yield number


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_items_come_in_order(count: int) -> None:
    assert list(prefetch(counted(count, []), 2)) == list(range(count))


def test_the_producer_runs_at_most_so_far_ahead() -> None:
    made: list[int] = []
    items = prefetch(counted(100, made), 3)
    assert next(items) == 0
    assert len(made) <= 1 + 3 + 1
    items.close()


def test_an_error_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    items = prefetch(failing(), 2)
    assert next(items) == 1
    with pytest.raises(KeyError, match="broken"):
        next(items)


def test_stopping_early_ends_the_thread() -> None:
    before = threading.active_count()
    items = prefetch(counted(1000, []), 1)
    next(items)
    assert threading.active_count() == before + 1
    items.close()
    assert threading.active_count() == before
