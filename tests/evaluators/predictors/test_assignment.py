from __future__ import annotations

import itertools

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.predictors.assignment import assign_in_order


def plain_assignment(gain: np.ndarray) -> tuple[float, list[int]]:
    """Try all seconds in order; of equal sums the earliest seconds."""
    seconds, steps = gain.shape
    ways = itertools.combinations(range(seconds), steps)
    best = max(ways, key=lambda way: (gain[way, range(steps)].sum(), [-second for second in way]))
    return float(gain[best, range(steps)].sum()), list(best)


@pytest.mark.parametrize("seed", range(60))
def test_the_assignment_is_the_best_of_all(seed: int):
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(1, 6))
    seconds = steps + int(rng.integers(0, 5))
    gain = rng.normal(size=(seconds, steps))
    found = assign_in_order(gain)
    total, best = plain_assignment(gain)
    assert gain[found].sum() == pytest.approx(total)
    assert found.argmax(axis=0).tolist() == best
    assert found.sum(axis=0).tolist() == [1] * steps


@pytest.mark.parametrize("seed", range(30))
def test_of_equal_sums_the_earliest_seconds_win(seed: int):
    rng = np.random.default_rng(seed)
    gain = rng.integers(2, size=(6, 3)).astype(float)
    total, _ = plain_assignment(gain)
    found = assign_in_order(gain)
    assert gain[found].sum() == total
    every = [
        way for way in itertools.combinations(range(6), 3) if gain[way, range(3)].sum() == total
    ]
    # no other way has its last step earlier
    assert found[:, 2].argmax() == min(way[2] for way in every)


def test_constant_gains_take_the_first_seconds():
    assert np.array_equal(assign_in_order(np.zeros((5, 2))), np.eye(5, 2, dtype=bool))


def test_as_many_seconds_as_steps_leave_one_way():
    gain = -np.eye(4)
    assert np.array_equal(assign_in_order(gain), np.eye(4, dtype=bool))


def test_steps_keep_their_order_even_if_the_opposite_is_likelier():
    # 9 + 9 is out of order; in order, the best is 1 + 1, earlier than 2 + 0
    gain = np.array([[1.0, 9], [2, 1], [9, 0]])
    assert assign_in_order(gain).argmax(axis=0).tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(0, 1), (3, 4), (1, 2)])
def test_fewer_seconds_than_steps_have_no_assignment(shape: tuple[int, int]):
    assert not assign_in_order(np.zeros(shape)).any()


def test_no_step_is_assigned_where_there_is_none():
    assert assign_in_order(np.zeros((3, 0))).shape == (3, 0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_gain_that_is_not_finite_is_refused(wrong: float):
    gain = np.zeros((4, 2))
    gain[2, 1] = wrong
    with pytest.raises(DataError, match="a step has no finite number in some second"):
        assign_in_order(gain)


def test_a_constant_added_to_all_gains_changes_nothing():
    gain = np.random.default_rng(0).normal(size=(12, 4))
    assert np.array_equal(assign_in_order(gain), assign_in_order(gain - 100))
