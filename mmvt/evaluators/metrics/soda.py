"""SODA_c: how well the captions of a video tell its story, in order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Soda(NamedTuple):
    """How well the captions of one video fit those of people.

    Attributes:
        precision: of the captions written.
        recall: of those of people.
        f1: their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


def soda_c(worth: Float[np.ndarray, "ours theirs"]) -> Soda:
    """Return SODA_c of a video; nothing matches where there is no caption.

    Each caption matches one of the others at most, and matches do not cross in time; of all such
    ways the one with the largest sum counts.

    Source: Fujita et al., SODA (ECCV 2020) §4.

    Args:
        worth: IoU times likeness of each pair, both in time order.
    """
    ours, theirs = worth.shape
    best = best_in_order(worth)
    if best == 0:
        return Soda(0.0, 0.0, 0.0)
    return Soda(best / ours, best / theirs, 2 * best / (ours + theirs))


def best_in_order(worth: Float[np.ndarray, "ours theirs"]) -> float:
    """Return the largest sum of pairs that neither share a row or column nor cross."""
    best = np.zeros(worth.shape[1] + 1)
    for row in worth:
        # a row is left out, or matched to the last column; the running maximum leaves columns out
        taken = np.maximum(best[1:], best[:-1] + row)
        best[1:] = np.maximum.accumulate(taken)
    return float(best[-1])
