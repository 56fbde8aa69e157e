"""Several processes that evaluate together: each takes its batches in turn, all get all results."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@contextmanager
def evaluating_together() -> Iterator[None]:
    """Be one of torchrun's processes while the block runs."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("gloo")  # results are on the CPU
    yield
    dist.destroy_process_group()


def in_turn(items: Iterable[V]) -> Iterator[V]:
    """Yield what this process has to do of a sequence that all processes have; alone, all of it."""
    rank, processes = _place()
    return (item for number, item in enumerate(items) if number % processes == rank)


def of_all(own: dict[K, V], order: Iterable[K]) -> dict[K, V]:
    """Return the results of all processes; every process has to call it.

    Args:
        own: the results of this one; no other has one of the same key.
        order: keys, in the order in which one process alone would have found the results; those
            without a result are left out.
    """
    found = [own]
    if _place()[1] > 1:
        found = [{} for _ in range(_place()[1])]
        dist.all_gather_object(found, own)
    every = {key: value for part in found for key, value in part.items()}
    return {key: every[key] for key in order if key in every}


def is_first() -> bool:
    """Return whether this process is the one that writes files."""
    return _place()[0] == 0


def _place() -> tuple[int, int]:
    """Return (which process this is, how many there are)."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
