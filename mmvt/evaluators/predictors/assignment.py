"""Steps of a task in their order, each in one second of a video."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from mmvt.errors import DataError


def assign_in_order(gain: Float[np.ndarray, "seconds steps"]) -> Bool[np.ndarray, "seconds steps"]:
    """Return where each step is done: one second a step, in order, with the largest sum of gains.

    Of equal sums the earliest seconds win. A video with fewer seconds than steps has no such
    assignment, and nothing is true.

    Source: CrossTask (arXiv 1903.08225) §4.

    Args:
        gain: of each step in each second, such as its log-probability.

    Raises:
        DataError: a gain is not finite.
    """
    if not np.isfinite(gain).all():
        raise DataError("a step has no finite number in some second")
    seconds, steps = gain.shape
    chosen = np.zeros((seconds, steps), bool)
    if seconds < steps:
        return chosen
    # best[k]: the largest sum of the first k steps, up to the second that is looked at
    best = np.full(steps + 1, -np.inf)
    best[0] = 0
    taken = np.zeros((seconds, steps), bool)
    for second in range(seconds):
        with_it = best[:-1] + gain[second]
        taken[second] = with_it > best[1:]
        best[1:] = np.where(taken[second], with_it, best[1:])
    second = seconds
    for step in range(steps - 1, -1, -1):
        second = int(np.flatnonzero(taken[:second, step])[-1])
        chosen[second, step] = True
    return chosen
