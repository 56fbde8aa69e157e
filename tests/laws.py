"""The laws of sampling, restated one step at a time, and how draws are held against them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable

import numpy as np

from mmvt.processors.base import TextClips


def clips_of(*times: tuple[float, float], words: list[int] | None = None) -> TextClips:
    """Return captions at the given times, caption i with words[i] tokens 10 i, 10 i + 1, …"""
    lengths = words or [1] * len(times)
    return TextClips(
        np.array([start for start, _ in times], dtype=float),
        np.array([end for _, end in times], dtype=float),
        [[10 * i + k for k in range(n)] for i, n in enumerate(lengths)],
    )


def in_a_row(words: list[int], seconds: float = 1.0) -> TextClips:
    return clips_of(*((i * seconds, (i + 1) * seconds) for i in range(len(words))), words=words)


def window_law(centre: int, length: int, num_steps: int) -> dict[tuple[int, int], float]:
    """Return the probability of each (start, stop) that grows around a centre."""
    law = {(centre, centre): 1.0}
    for _ in range(min(length, num_steps)):
        grown: dict[tuple[int, int], float] = defaultdict(float)
        for (start, stop), p in law.items():
            sides = [(start - 1, stop)] * (start > 0) + [(start, stop + 1)] * (stop < num_steps)
            for side in sides:
                grown[side] += p / len(sides)
        law = dict(grown)
    return law


def captions_law(
    clips: TextClips, max_words: int, centre: int, keep_prob: float
) -> dict[tuple[int, ...], float]:
    """Return the probability of each run of captions that grows around one."""
    law: dict[tuple[int, ...], float] = defaultdict(float)
    last = len(clips) - 1

    def grow(chosen: tuple[int, ...], p: float) -> None:
        words = sum(len(clips.cap[i]) for i in chosen)
        span = clips.end[chosen[-1]] - clips.start[chosen[0]]
        sides = [s for s, free in ((-1, chosen[0] > 0), (1, chosen[-1] < last)) if free]
        if words >= max_words or span >= 256 or not sides:
            law[chosen] += p
            return
        for side in sides:
            for stride, chance in ((1, keep_prob), (2, 1 - keep_prob)):
                edge = chosen[0] if side < 0 else chosen[-1]
                new = min(max(edge + side * stride, 0), last)
                if chance:
                    grown = (new, *chosen) if side < 0 else (*chosen, new)
                    grow(grown, p / len(sides) * chance)

    grow((centre,), 1.0)
    return dict(law)


def assert_follows(draw: Callable[[], Hashable], law: dict, draws: int = 3000) -> None:
    assert_counts_follow(Counter(draw() for _ in range(draws)), law)


def assert_counts_follow(seen: Counter, law: dict) -> None:
    """Assert that no outcome is impossible, and none is seen too often or too seldom."""
    draws = seen.total()
    assert set(seen) <= set(law)
    for outcome, p in law.items():
        # the second term is for what is seldom, which varies more than the normal law says
        allowed = 4.5 * math.sqrt(draws * max(p * (1 - p), 0)) + 7
        assert abs(seen[outcome] - draws * p) <= allowed, (outcome, seen[outcome], draws * p)
