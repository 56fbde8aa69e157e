"""How the batches of an epoch reach the workers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.fairseq.dataset import shares


def lists(arrays: list[np.ndarray]) -> list[list[int]]:
    return [array.tolist() for array in arrays]


def test_a_batch_is_parted_in_order():
    batches = [np.array([7, 8, 9, 4]), np.array([1, 2, 3])]
    assert lists(shares(batches, 2)) == [[7, 8], [9, 4], [1, 2], [3]]
    assert lists(shares(batches, 1)) == lists(batches)


def test_a_batch_of_fewer_examples_than_workers_is_filled_with_the_first_of_the_epoch():
    batches = [np.array([7, 8, 9]), np.array([1])]
    assert lists(shares(batches, 3)) == [[7], [8], [9], [1], [7], [8]]
    assert lists(shares([np.array([5])], 2)) == [[5], [5]]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 9))
def test_every_worker_has_as_many_batches_none_is_empty_and_all_examples_are_there(
    examples: int, batch_size: int, workers: int
):
    order = np.random.default_rng(0).permutation(examples)
    step = batch_size * workers
    batches = np.split(order, range(step, examples, step))
    found = shares(batches, workers)
    assert len(found) == workers * len(batches)
    assert all(0 < len(share) <= batch_size for share in found)
    assert set(np.concatenate(found)) == set(range(examples))
    assert sum(map(len, found)) < examples + workers
    for first in range(0, len(found), workers):
        sizes = [len(share) for share in found[first : first + workers]]
        assert all(one - other in (0, 1) for one, other in pairwise(sizes))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_workers_together_see_what_one_worker_sees(batch_size: int):
    order = np.random.default_rng(0).permutation(30)
    alone = shares(np.split(order, range(2 * batch_size, 30, 2 * batch_size)), 1)
    together = shares(np.split(order, range(2 * batch_size, 30, 2 * batch_size)), 2)
    pairs = [np.concatenate(together[first : first + 2]) for first in range(0, len(together), 2)]
    assert lists(pairs) == lists(alone)
