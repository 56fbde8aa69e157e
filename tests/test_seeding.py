"""Tests of the generators of examples."""

from __future__ import annotations

import numpy as np
import pytest

from mmvt.seeding import generator


def draws(seed: int, epoch: int, index: int) -> list[int]:
    return generator(seed, epoch, index).integers(1000, size=4).tolist()


def test_draws_are_the_same_on_every_machine():
    assert draws(1, 1, 0) == [332, 269, 724, 992]


def test_an_example_is_drawn_by_its_keys_and_not_by_what_was_drawn_before():
    generator(1, 1, 0).random(1000)
    assert draws(1, 1, 1) == draws(1, 1, 1)


@pytest.mark.parametrize("other", [(2, 1, 0), (1, 2, 0), (1, 1, 1), (1, 0, 1), (0, 1, 0)])
def test_every_key_changes_the_draws(other: tuple[int, int, int]):
    assert draws(*other) != draws(1, 1, 0)


def test_long_draws_of_neighbouring_examples_do_not_overlap():
    one, two = (generator(1, 1, index).random(10_000) for index in (0, 1))
    assert not np.intersect1d(one, two).size


@pytest.mark.parametrize("seed", [0, -1, 2**63, 2**64 - 1])
def test_every_seed_will_do(seed: int):
    assert draws(seed, 1, 0) == draws(seed, 1, 0)
    assert len(set(draws(seed, 1, 0)) | set(draws(seed, 1, 1))) > 4
