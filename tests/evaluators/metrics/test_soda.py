"""SODA_c of a video, against all ways of matching it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.evaluators.metrics.soda import Soda, best_in_order, soda_c

WORTHS = st.tuples(st.integers(0, 4), st.integers(0, 5)).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, 8), min_size=size[1], max_size=size[1]),
        min_size=size[0],
        max_size=size[0],
    ).map(lambda rows: np.array(rows, float).reshape(size) / 8)
)


def best_of_all(worth: np.ndarray) -> float:
    """Return the best sum by trying every set of pairs that keeps the order."""
    ours, theirs = worth.shape
    sums = [0.0]
    for count in range(1, min(ours, theirs) + 1):
        for rows in itertools.combinations(range(ours), count):
            for columns in itertools.combinations(range(theirs), count):
                sums.append(float(worth[list(rows), list(columns)].sum()))
    return max(sums)


@given(WORTHS)
def test_the_best_order_is_that_of_all_orders(worth: np.ndarray):
    assert best_in_order(worth) == pytest.approx(best_of_all(worth))


def test_matches_may_not_cross_in_time():
    # both crossing pairs together would be worth 1.8
    assert best_in_order(np.array([[0.0, 0.9], [0.9, 0.0]])) == 0.9
    assert best_in_order(np.array([[0.9, 0.0], [0.0, 0.9]])) == 1.8


def test_a_caption_is_matched_once():
    found = soda_c(np.array([[0.5], [0.75], [0.25]]))
    assert found == Soda(precision=0.25, recall=0.75, f1=2 * 0.75 / 4)


@pytest.mark.parametrize("shape", [(0, 3), (2, 3), (0, 0)])
def test_nothing_matches_where_there_is_nothing(shape: tuple[int, int]):
    assert soda_c(np.zeros(shape)) == Soda(0.0, 0.0, 0.0)
