"""Finding ids by their hashes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmvt.datasets.id_index import build_index, candidates, hash_id, indexed_hashes


def hashes(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


@given(ids=st.lists(st.text(), unique=True, max_size=20))
def test_every_id_is_found_under_its_number(ids: list[str]):
    index = build_index(np.array([hash_id(video_id) for video_id in ids], np.uint64))
    for number, video_id in enumerate(ids):
        assert list(candidates(index, video_id)) == [number]
    assert list(candidates(index, "an id of 32 letters, more or less")) == []


def test_equal_hashes_give_all_their_numbers():
    index = build_index(hashes(hash_id("a"), 5, hash_id("a")))
    assert list(candidates(index, "a")) == [0, 2]


def test_the_smallest_and_the_largest_hash_are_found():
    first, last = sorted(["a", "b", "c"], key=hash_id)[::2]
    index = build_index(hashes(*(hash_id(letter) for letter in (first, last))))
    assert list(candidates(index, first)) == [0]
    assert list(candidates(index, last)) == [1]


def test_an_index_gives_back_what_it_was_built_of():
    given = hashes(7, 3, 2**64 - 1, 0, 3)
    np.testing.assert_array_equal(indexed_hashes(build_index(given)), given)


def test_hashes_are_those_of_xxh3():
    assert hash_id("") == 0x2D06800538D394C2
