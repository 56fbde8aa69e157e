"""Ratios of process CPU time, from runs of a baseline and of ours that take turns.

Single times of a shared machine mean little; a ratio of runs that lie side by side does.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A figure that must be reached, and one to aim for.

    Attributes:
        name: such as ``G1``.
        must: lowest ratio that passes.
        aim: ratio to aim for.
        limit: in words, what stands in the way of more.
    """

    name: str
    must: float
    aim: float
    limit: str


@dataclass(frozen=True)
class Times:
    """Median seconds of CPU time of a call."""

    baseline: float
    ours: float

    @property
    def ratio(self) -> float:
        """How many times as long the baseline takes."""
        return self.baseline / self.ours


def interleaved(
    baseline: Callable[[], object],
    ours: Callable[[], object],
    *,
    repeats: int = 7,
    calls: int = 1,
    clock: Callable[[], float] = time.process_time,
    before: Callable[[], object] | None = None,
) -> Times:
    """Return the times of both, each called once before and then in turns.

    Args:
        baseline: what to compare with.
        ours: what is compared.
        repeats: turns.
        calls: calls of ours a turn, where one is too short for the clock.
        clock: CPU time of the process, all its threads included; else such as perf_counter.
        before: called ahead of every call, unmeasured, such as to empty a cache.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for call, times, count in ((baseline, taken[0], 1), (ours, taken[1], calls)):
            if before is not None:
                before()
            start = clock()
            for _ in range(count):
                call()
            if turn > 0:
                times.append((clock() - start) / count)
    return Times(*(statistics.median(times) for times in taken))


def report(goal: Goal, ratio: float, detail: str = "") -> bool:
    """Print a goal and how near it is; return whether it is met."""
    print(
        f"{goal.name} ratio={ratio:.2f} must={goal.must:g} aim={goal.aim:g} limit={goal.limit}"
        f"{f'  ({detail})' if detail else ''}"
    )
    return ratio >= goal.must


def say_baseline(what: str, measured: float, expected: float, unit: str) -> None:
    """Print the baseline's own cost beside the original's, with a warning where they part.

    A re-statement that is slower than what it stands for would flatter us.
    """
    factor = measured / expected
    warning = "" if 0.5 <= factor <= 2 else "  WARNING: outside 0.5 to 2 times"
    print(f"baseline {what}: {measured:.3g} {unit}, the original {expected:g} {unit}{warning}")
