"""Ranks of the right candidates, block by block, with ties counted instead of broken.

A matrix of 10,000 × 10,000 scores is never held whole: queries are compared in blocks of rows, and
of every query three counts are kept.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int, Int64
from typing_extensions import override

from mmvt.errors import DataError

BLOCK = 512

Block = Float[np.ndarray, "rows candidates"]


class Scores(ABC):
    """Scores of every query against every candidate."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """The number of queries and of candidates."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> Block:
        """Return the scores of some queries; the next call may overwrite them."""

    @abstractmethod
    def transposed(self) -> Scores:
        """Return the scores with queries and candidates exchanged."""

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, Block]]:
        """Yield (first query, scores) of all queries, block by block."""
        for start in range(0, self.shape[0], size):
            yield start, self.rows(start, min(start + size, self.shape[0]))


class MatrixScores(Scores):
    """Scores that are there already.

    Args:
        matrix: queries × candidates.
    """

    def __init__(self, matrix: Block) -> None:
        self.matrix = matrix

    @property
    @override
    def shape(self) -> tuple[int, int]:
        """(queries, candidates)."""
        return self.matrix.shape[0], self.matrix.shape[1]

    @override
    def rows(self, start: int, stop: int) -> Block:
        """Return the scores of some queries against all candidates."""
        return self.matrix[start:stop]

    @override
    def transposed(self) -> MatrixScores:
        """Return the same scores with candidates asking for queries."""
        return MatrixScores(self.matrix.T)


class VectorScores(Scores):
    """Dot products of a vector a query and a vector a candidate.

    Candidates with the same vector are multiplied once: in a matrix product the last bit of a
    number depends on its place, so that equal candidates would not always tie.

    Args:
        queries: a vector a row.
        candidates: a vector a row.
    """

    def __init__(
        self,
        queries: Float[np.ndarray, "queries dim"],
        candidates: Float[np.ndarray, "candidates dim"],
    ) -> None:
        self.queries, self.candidates = queries, candidates
        first, self._copy_of = _distinct_rows(candidates)
        self._distinct = candidates[first]
        self._buffer = np.empty((0, 0), queries.dtype)

    @property
    @override
    def shape(self) -> tuple[int, int]:
        """(queries, candidates)."""
        return len(self.queries), len(self.candidates)

    @override
    def rows(self, start: int, stop: int) -> Block:
        """Return the scores of some queries against all candidates."""
        if len(self._buffer) < stop - start:
            self._buffer = np.empty((stop - start, len(self._distinct)), self.queries.dtype)
        block = self._buffer[: stop - start]
        np.matmul(self.queries[start:stop], self._distinct.T, out=block)
        return block if len(self._distinct) == len(self.candidates) else block[:, self._copy_of]

    @override
    def transposed(self) -> VectorScores:
        """Return the same scores with candidates asking for queries."""
        return VectorScores(self.candidates, self.queries)


def _distinct_rows(
    rows: Float[np.ndarray, "rows dim"],
) -> tuple[Int64[np.ndarray, " distinct"], Int64[np.ndarray, " rows"]]:
    """Return the first place of every distinct row, and for each row which of them it is."""
    number: dict[bytes, int] = {}
    # adding 0 makes -0.0 and 0.0 the same bytes
    copy_of = np.array([number.setdefault((row + 0).tobytes(), len(number)) for row in rows])
    _, first = np.unique(copy_of, return_index=True)
    return first, copy_of.astype(np.int64)


@dataclass(frozen=True)
class Ranks:
    """Where the best right candidate of each query stands.

    Attributes:
        above: candidates with a higher score than it.
        tied: candidates with its score, itself included.
        right: how many of those tied are right.
    """

    above: Int64[np.ndarray, " queries"]
    tied: Int64[np.ndarray, " queries"]
    right: Int64[np.ndarray, " queries"]

    def only(self, queries: Int64[np.ndarray, " some"]) -> Ranks:
        """Return the ranks of some queries."""
        return Ranks(self.above[queries], self.tied[queries], self.right[queries])

    def hits(self, k: int) -> Float64[np.ndarray, " queries"]:
        """Return the chance that a right candidate is among the first k, ties in random order.

        With one right candidate among t that are tied, m of them within the first k, it is m / t.
        """
        within = np.clip(k - self.above, 0, self.tied)
        wrong, none_right = self.tied - self.right, np.ones(len(self.tied))
        for drawn in range(k):
            left = np.maximum(self.tied - drawn, 1)
            share = np.maximum(wrong - drawn, 0) / left
            none_right *= np.where(drawn < within, share, 1.0)
        return np.where(self.right == 1, within / self.tied, 1.0 - none_right)

    def expected(self) -> Float64[np.ndarray, " queries"]:
        """Return the mean rank of the first right candidate, from 1, ties in random order."""
        return self.above + (self.tied + 1) / (self.right + 1)


def rank(scores: Scores, right: Sequence[Int[np.ndarray, " _right"]]) -> Ranks:
    """Return the ranks of all queries; all counts are 0 where no candidate is right.

    Args:
        scores: without NaN.
        right: the columns of the right candidates of each query.

    Raises:
        DataError: a product of finite vectors is NaN.
    """
    above, tied, own = (np.zeros(len(right), np.int64) for _ in range(3))
    for start, block in scores.blocks():
        if np.isnan(block.max()):
            raise DataError("vectors are so large that their dot products are not finite")
        for query, row in enumerate(block, start):
            if len(right[query]) == 0:
                continue
            # read from the same block: a product computed apart differs in the last bit
            mine = row[right[query]]
            best = mine.max()
            above[query] = np.count_nonzero(row > best)
            tied[query] = np.count_nonzero(row >= best) - above[query]
            own[query] = np.count_nonzero(mine == best)
    return Ranks(above, tied, own)


def chance(right: Sequence[int], candidates: int) -> Ranks:
    """Return the ranks of scores that are all equal.

    Args:
        right: number of right candidates of each query.
        candidates: number of candidates.
    """
    counts = np.array(right, np.int64)
    return Ranks(np.zeros_like(counts), np.full_like(counts, candidates), counts)


def summary(
    ranks: Ranks, recall_at: Sequence[int], *, misses: int = 0, candidates: int
) -> dict[str, float]:
    """Return recall and ranks over all queries, as expectations under random order of ties.

    Args:
        ranks: of the queries that have scores.
        recall_at: the values of K of R@K.
        misses: queries beside these that count as not found, with the last rank there is.
        candidates: number of candidates, scored or not.
    """
    expected = np.concatenate([ranks.expected(), np.full(misses, float(candidates))])
    recall = {f"R@{k}": math.fsum(ranks.hits(k)) / len(expected) for k in recall_at}
    median, mean = float(np.median(expected)), math.fsum(expected) / len(expected)
    return {**recall, "median_rank": median, "mean_rank": mean}


def original_summary(
    ranks: Ranks, recall_at: Sequence[int], *, misses: int = 0, candidates: int
) -> dict[str, float]:
    """Return recall and ranks as the original counts them: a rank for every tied candidate.

    Queries with ties thus count more than others.

    Args:
        ranks: as of :func:`summary`.
        recall_at: as of :func:`summary`.
        misses: as of :func:`summary`.
        candidates: as of :func:`summary`.

    Source: the public code of VideoCLIP (arXiv 2109.14084).
    """
    steps = np.zeros(candidates + 2, np.int64)
    np.add.at(steps, ranks.above + 1, 1)
    np.add.at(steps, ranks.above + ranks.tied + 1, -1)
    # how often each rank from 1 occurs, without writing the ranks down: there may be n² of them
    times = np.cumsum(steps)[: candidates + 1]
    found = {f"R@{k}": int(times[: k + 1].sum()) for k in recall_at}
    times[candidates] += misses
    up_to = np.cumsum(times)
    total = int(up_to[-1])
    middle = np.searchsorted(up_to, [(total - 1) // 2 + 1, total // 2 + 1])
    return {
        **{name: count / total for name, count in found.items()},
        "median_rank": float(middle.mean()),
        "mean_rank": float(times @ np.arange(candidates + 1)) / total,
    }
