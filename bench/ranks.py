"""Ranks of 10,000 queries among 10,000 candidates, on one thread of a CPU (goal G10).

    python -m bench.ranks [--dim 512] [--repeats 3]

The baseline is a re-statement: the whole matrix of scores, negated and sorted row by row, the score
of the diagonal subtracted, and the places of zeros looked for. G10 is met by the metric alone, and
with the matrix product before it, whose share grows with the width of the vectors.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types

from bench._timing import Goal, interleaved, report, say_baseline
from mmvt.evaluators.metrics.ranks import (
    MatrixScores,
    Ranks,
    VectorScores,
    original_summary,
    rank,
)

METRIC = Goal("G10", 10, 15, "reading the scores once")
WITH_PRODUCT = Goal("G10 with the product", 3, 3.6, "1.1 times the bare product")
COUNT = 10_000
ORIGINAL = 1.35


def main() -> int:
    """Print the goals; return 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.ranks")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with threadpool_limits(1):
        return 0 if measure(args.dim, args.repeats) else 1


def measure(dim: int, repeats: int) -> bool:
    """Print the baseline's cost and the goals; return whether they are met."""
    rng = np.random.default_rng(1)
    texts = rng.standard_normal((COUNT, dim), np.float32)
    # the right score stands three standard deviations above the others
    videos = texts + math.sqrt(dim) / 3 * rng.standard_normal((COUNT, dim), np.float32)
    right = [np.array([query]) for query in range(COUNT)]
    scores = texts @ videos.T
    same(original_ranks(scores), rank(MatrixScores(scores), right))
    metric = interleaved(
        lambda: original_ranks(scores),
        lambda: rank(MatrixScores(scores), right),
        repeats=repeats,
    )
    say_baseline("ranks", metric.baseline, ORIGINAL, "CPU s")
    del scores
    whole = interleaved(
        lambda: original_ranks(texts @ videos.T),
        lambda: rank(VectorScores(texts, videos), right),
        repeats=repeats,
    )
    product = interleaved(
        lambda: np.matmul(texts, videos.T),
        lambda: rank(VectorScores(texts, videos), right),
        repeats=repeats,
    )
    met = report(METRIC, metric.ratio, f"{metric.ours:.3f} CPU s")
    detail = f"{dim} wide: {whole.ours:.2f} CPU s, {1 / product.ratio:.2f} of the bare product"
    return report(WITH_PRODUCT, whole.ratio, detail) and met


def original_ranks(scores: np.ndarray) -> np.ndarray:
    """Return the rank of each query's own candidate, from 0, as the original counts it."""
    ordered = np.sort(-scores, axis=1)
    own = -np.diag(scores)[:, None]
    return np.where(ordered - own == 0)[1]


def same(theirs: np.ndarray, ours: Ranks) -> None:
    """Raise unless both sides have the same ranks, one for each candidate that is tied."""
    tied = zip(ours.above, ours.above + ours.tied, strict=True)
    assert np.array_equal(theirs, np.concatenate([np.arange(*places) for places in tied]))
    assert 0 < theirs.mean() < COUNT / 4
    found = original_summary(ours, [1, 5, 10], candidates=COUNT)
    for k in (1, 5, 10):
        assert found[f"R@{k}"] == np.mean(theirs < k)


if __name__ == "__main__":
    raise SystemExit(main())
