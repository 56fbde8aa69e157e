from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.errors import DataError
from mmvt.evaluators.metrics.ranks import (
    MatrixScores,
    Ranks,
    VectorScores,
    chance,
    original_summary,
    rank,
    summary,
)


def columns(*right: list[int]) -> list[np.ndarray]:
    return [np.array(each, np.int64) for each in right]


def first_places(row: list[int], right: list[int]) -> list[int]:
    """Return the rank of the first right candidate in every order that the scores allow."""
    orders = itertools.permutations(range(len(row)))
    allowed = [o for o in orders if all(row[a] >= row[b] for a, b in itertools.pairwise(o))]
    return [1 + min(order.index(candidate) for candidate in right) for order in allowed]


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=5).flatmap(
        lambda row: st.tuples(
            st.just(row), st.lists(st.integers(0, len(row) - 1), min_size=1, unique=True)
        )
    )
)
def test_ties_count_as_the_mean_over_all_orders_written_out(case: tuple[list[int], list[int]]):
    row, right = case
    ranks = rank(MatrixScores(np.array([row], float)), columns(right))
    places = first_places(row, right)
    assert ranks.expected()[0] == pytest.approx(float(Fraction(sum(places), len(places))))
    for k in range(1, 7):
        within = Fraction(sum(place <= k for place in places), len(places))
        assert ranks.hits(k)[0] == pytest.approx(float(within))


def test_one_right_candidate_of_three_tied_behind_one_better():
    ranks = rank(MatrixScores(np.array([[9.0, 4, 4, 4, 1]])), columns([2]))
    assert (ranks.above[0], ranks.tied[0], ranks.right[0]) == (1, 3, 1)
    assert [ranks.hits(k)[0] for k in (1, 2, 3, 4, 5)] == [0, 1 / 3, 2 / 3, 1, 1]
    assert ranks.expected()[0] == 3


def test_queries_without_a_right_candidate_have_no_rank():
    ranks = rank(MatrixScores(np.eye(2)), columns([], [1]))
    assert ranks.tied.tolist() == [0, 1]
    assert ranks.only(np.array([1])).expected().tolist() == [1]


@pytest.mark.parametrize("queries", [1, 2, 511, 512, 513])
def test_blocks_change_nothing(queries: int):
    rng = np.random.default_rng(queries)
    matrix = rng.integers(0, 5, (queries, 7)).astype(float)
    right = [rng.integers(0, 7, 1) for _ in range(queries)]
    ranks = rank(MatrixScores(matrix), right)
    truth = matrix[np.arange(queries), [r[0] for r in right]][:, None]
    assert ranks.above.tolist() == (matrix > truth).sum(1).tolist()
    assert ranks.tied.tolist() == (matrix == truth).sum(1).tolist()


@pytest.mark.parametrize("size", [2, 5, 33, 1001, 1017])
@pytest.mark.parametrize("dim", [8, 100])
def test_equal_vectors_tie_wherever_they_stand(size: int, dim: int):
    rng = np.random.default_rng(size)
    vectors = np.tile(rng.normal(size=dim).astype(np.float32), (size, 1))
    queries = rng.normal(size=(size, dim)).astype(np.float32)
    right = [np.array([i]) for i in range(size)]
    assert (rank(VectorScores(queries, vectors), right).tied == size).all()


def test_zero_and_minus_zero_are_one_vector():
    scores = VectorScores(np.ones((1, 2)), np.array([[0.0, 1.0], [-0.0, 1.0]]))
    assert rank(scores, columns([0])).tied.tolist() == [2]


def test_vectors_give_dot_products_and_their_transpose():
    queries, candidates = np.array([[1.0, 0], [0, 2], [1, 1]]), np.array([[3.0, 4], [5, 6]])
    scores = VectorScores(queries, candidates)
    assert scores.shape == (3, 2)
    assert np.concatenate([b.copy() for _, b in scores.blocks(2)]).tolist() == [
        [3, 5],
        [8, 12],
        [7, 11],
    ]
    back = scores.transposed()
    assert back.shape == (2, 3)
    assert back.rows(0, 2).tolist() == [[3, 8, 7], [5, 12, 11]]
    assert MatrixScores(np.arange(6.0).reshape(3, 2)).transposed().rows(1, 2).tolist() == [
        [1, 3, 5]
    ]


def test_a_product_too_large_for_its_type_is_an_error():
    huge = np.array([[3e38, -3e38]], np.float32)
    with (
        np.errstate(all="ignore"),
        pytest.raises(DataError, match="their dot products are not finite"),
    ):
        rank(VectorScores(huge, np.array([[10, 10], [1, 1]], np.float32)), columns([0]))


def test_memory_grows_with_a_block_and_not_with_the_matrix():
    import tracemalloc

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6000, 4)).astype(np.float32)
    right = [np.array([i]) for i in range(6000)]
    scores = VectorScores(vectors, vectors)
    tracemalloc.start()
    rank(scores, right)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000 * 6000 * 4 / 4  # a quarter of the matrix


def test_chance_of_one_right_candidate_is_k_in_n():
    figures = summary(chance([1] * 4, 40), (1, 5, 10, 50), candidates=40)
    assert figures == {
        "R@1": 1 / 40,
        "R@5": 5 / 40,
        "R@10": 10 / 40,
        "R@50": 1.0,
        "median_rank": 20.5,
        "mean_rank": 20.5,
    }


def test_chance_of_two_right_candidates_of_four():
    figures = summary(chance([2], 4), (1, 2), candidates=4)
    assert figures["R@1"] == pytest.approx(1 / 2)
    assert figures["R@2"] == pytest.approx(5 / 6)
    assert figures["mean_rank"] == pytest.approx(5 / 3)


def test_a_miss_has_the_last_rank_and_is_never_found():
    ranks = Ranks(np.array([0]), np.array([1]), np.array([1]))
    for summarise in (summary, original_summary):
        figures = summarise(ranks, (1, 10), misses=1, candidates=4)
        assert figures == {"R@1": 0.5, "R@10": 0.5, "median_rank": 2.5, "mean_rank": 2.5}


def test_the_original_counts_a_query_once_for_every_tie():
    ranks = Ranks(np.array([0, 2]), np.array([3, 1]), np.array([1, 1]))
    # its ranks are 1, 2, 3 and 3
    figures = original_summary(ranks, (1, 2), candidates=5)
    assert figures == {"R@1": 0.25, "R@2": 0.5, "median_rank": 2.5, "mean_rank": 2.25}
