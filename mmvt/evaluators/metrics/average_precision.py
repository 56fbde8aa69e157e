"""Average precision as the public evaluator of QVHighlights counts it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64


def window_ious(
    one: Float[np.ndarray, "one 2"], other: Float[np.ndarray, "other 2"]
) -> Float64[np.ndarray, "one other"]:
    """Return the intersection over union of every pair of windows, 0 where both are empty."""
    left = np.maximum(one[:, None, 0], other[:, 0])
    right = np.minimum(one[:, None, 1], other[:, 1])
    shared = np.maximum(0.0, right - left)
    lengths = (one[:, 1] - one[:, 0])[:, None] + (other[:, 1] - other[:, 0])
    union = lengths - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def detection_precision(
    ious: Float64[np.ndarray, "ours truth"], thresholds: Sequence[float]
) -> Float64[np.ndarray, " thresholds"]:
    """Return the average precision of the windows of one query, interpolated at every recall.

    A window, best first, takes the true one that it overlaps most of those that are still free, and
    is right if their IoU is at least the threshold.

    Args:
        ious: of the predicted windows, best first, with the true ones.
        thresholds: least IoU of a hit; each is a figure of its own.
    """
    if len(ious) == 0:
        return np.zeros(len(thresholds))
    least, each = np.array(thresholds), np.arange(len(thresholds))
    taken = np.zeros((len(thresholds), ious.shape[1]), bool)
    hits = np.zeros((len(thresholds), len(ious)), bool)
    for number, row in enumerate(ious):
        free = np.where(taken, -1.0, row)
        most = free.argmax(axis=1)
        hits[:, number] = free[each, most] >= least
        taken[each, most] |= hits[:, number]
    precision = hits.cumsum(axis=1) / np.arange(1, len(ious) + 1)
    best_after = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (best_after * hits).sum(axis=1) / ious.shape[1]


def clip_precision(
    relevant: Bool[np.ndarray, " clips"], scores: Float[np.ndarray, " clips"]
) -> float:
    """Return the average precision of scored clips: 0 if none is relevant, 1 if all are.

    Clips with equal scores come together; the mean is over the scores that bring a relevant clip,
    each with the best precision at that score or a lower one.
    """
    if relevant.all() or not relevant.any():
        return float(relevant.any())
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(relevant[order])[last]
    precision = found / (last + 1)
    best_after = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_after[np.diff(found, prepend=0) > 0].mean())
