from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.arrays import Asked
from mmvt.evaluators.highlight_case import Query, read_queries

# two queries of videos of 10 and 7 seconds: five and three clips of two seconds
CASE = {
    "ids": np.array(["a", "b"]),
    "durations": np.array([10.0, 7.0]),
    "window_query": np.array([1, 0, 0]),
    "windows": np.array([[0, 4], [2, 6], [8, 10]]),
    "clip_query": np.array([0, 0, 1]),
    "clips": np.array([3, 0, 2]),
    "saliency": np.array([[4, 3], [1, 2], [2, 2]]),
    "scored_ids": np.array(["b", "a"]),
    "scored_window_query": np.array([1, 0, 1]),
    "scored_windows": np.array([[1.0, 2], [3, 4], [5, 6]]),
    "window_scores": np.array([0.1, 0.2, 0.3]),
    "scored_clip_query": np.array([0, 1, 0, 1, 0, 1, 1, 1]),
    "clip_scores": np.array([10.0, 0, 11, 1, 12, 2, 3, 4]),
}


def queries(
    change: dict[str, Any] | None = None, *, without: str = "", **options: Any
) -> list[Query]:
    given = {name: array for name, array in CASE.items() if name != without} | (change or {})
    return read_queries(given, Asked.of(given, "query", **options), 2.0)


def test_rows_are_sorted_to_their_queries_in_the_order_given():
    first, second = queries()
    assert first.truth.tolist() == [[2, 6], [8, 10]]
    assert second.truth.tolist() == [[0, 4]]
    assert first.windows.tolist() == [[1, 2], [5, 6]]
    assert first.window_scores.tolist() == [0.1, 0.3]
    assert second.windows.tolist() == [[3, 4]]
    assert first.clip_scores is not None
    assert first.clip_scores.tolist() == [0, 1, 2, 3, 4]


def test_clips_that_nobody_rated_have_saliency_zero():
    first, second = queries()
    assert first.saliency.tolist() == [[1, 2], [0, 0], [0, 0], [4, 3], [0, 0]]
    assert second.saliency.tolist() == [[0, 0], [0, 0], [2, 2]]


def test_a_query_without_a_prediction_has_neither_windows_nor_scores():
    change = {
        "scored_ids": np.array(["b"]),
        "scored_window_query": np.array([0]),
        "scored_windows": np.array([[3.0, 4]]),
        "window_scores": np.array([0.2]),
        "scored_clip_query": np.array([0, 0, 0]),
        "clip_scores": np.array([10.0, 11, 12]),
    }
    first, second = queries(change, allow_missing=True)
    assert (len(first.windows), len(first.window_scores), first.clip_scores) == (0, 0, None)
    assert len(second.windows) == 1


def test_a_file_may_predict_nothing_of_a_split():
    empty = {name: CASE[name][:0] for name in CASE if name.startswith(("scored", "window_s"))}
    for query in queries({**empty, "clip_scores": np.zeros(0)}, allow_missing=True):
        assert len(query.windows) == 0
        assert query.clip_scores is None


def test_windows_without_scores_have_equal_ones():
    assert queries(without="window_scores")[0].window_scores.tolist() == [0, 0]


def test_saliency_is_not_needed_where_no_clip_is_scored():
    change = {name: CASE[name] for name in CASE if "clip" not in name and name != "saliency"}
    [first, _] = read_queries(change, Asked.of(change, "query"), 2.0)
    assert first.saliency.shape == (5, 0)
    assert first.clip_scores is None


@pytest.mark.parametrize("given", [2, 3, 4])
def test_a_clip_more_or_less_is_accepted(given: int):
    scores = {
        "scored_clip_query": np.array([0] * given + [1] * 5),
        "clip_scores": np.arange(given + 5.0),
    }
    [_, second] = queries(scores)
    assert second.clip_scores is not None
    assert len(second.clip_scores) == given


@pytest.mark.parametrize("given", [0, 1, 5])
def test_two_clips_more_or_less_are_an_error(given: int):
    scores = {
        "scored_clip_query": np.array([0] * given + [1] * 5),
        "clip_scores": np.arange(given + 5.0),
    }
    with pytest.raises(
        DataError, match=rf"clip_scores of 1 queries do not fit: 'b \({given} for 3"
    ):
        queries(scores)


def test_a_video_of_one_clip_needs_a_score():
    change = {
        "durations": np.array([10.0, 2.0]),
        "clips": np.array([3, 0, 0]),
        "scored_clip_query": np.array([1] * 5),
        "clip_scores": np.arange(5.0),
    }
    with pytest.raises(DataError, match=r"'b \(0 for 1\)'"):
        queries(change)


NAN = np.nan


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"durations": np.array([10.0, NAN])}, "durations of 1 ids hold NaN or inf: 'b'"),
        ({"durations": np.array([10.0, 1.9])}, "1 queries have a video shorter than a clip: 'b'"),
        ({"durations": np.array([10.0])}, "durations has the shape"),
        ({"window_query": np.array([0, 0, 0])}, "no window fits 1 queries: 'b'"),
        ({"window_query": np.array([0, 0, 2])}, "window_query must hold whole numbers from 0 to 1"),
        ({"window_query": np.array([0, 1])}, "window_query has the shape"),
        ({"windows": np.array([[0, 4], [6, 2], [8, 1]])}, "of 1 queries end before .* start: 'a'"),
        ({"windows": np.zeros(3)}, "windows must hold a start and an end in each row"),
        (
            {"scored_windows": np.array([[NAN, 2], [3, 4], [5, 6]])},
            "scored_windows of 1 ids hold NaN or inf: 'a'",
        ),
        (
            {"scored_windows": np.array([[1, 2], [-np.inf, 4], [5, 6]])},
            "scored_windows of 1 ids hold NaN or inf: 'b'",
        ),
        (
            {"scored_windows": np.array([[1, 2], [4, 3], [5, 6]])},
            "scored_windows of 1 queries end before they start: 'b'",
        ),
        ({"window_scores": np.array([0, NAN, 0])}, "window_scores of 1 ids hold NaN or inf: 'b'"),
        ({"window_scores": np.zeros(2)}, "window_scores has the shape"),
        ({"clip_scores": np.full(8, NAN)}, "clip_scores of 2 ids hold NaN or inf: 'b', 'a'"),
        ({"clip_scores": np.zeros(7)}, "scored_clip_query has the shape"),
        ({"saliency": np.zeros((3, 0), int)}, r"saliency has the shape \(3, 0\)"),
        ({"saliency": np.zeros(3, int)}, r"saliency has the shape \(3,\)"),
        ({"saliency": np.zeros((3, 2)) - 1}, "saliency must hold whole numbers"),
        ({"clips": np.array([5, 0, 3])}, r"2 clips are not .* 'a \(clip 5 of 5\)', 'b \(clip 3 of"),
    ],
)
def test_arrays_that_do_not_fit_are_errors(change: dict[str, Any], problem: str):
    with pytest.raises(DataError, match=problem):
        queries(change)


@pytest.mark.parametrize("name", ["durations", "windows", "window_query", "saliency", "clips"])
def test_an_absent_array_is_an_error(name: str):
    with pytest.raises(DataError, match=f"no array '{name}'"):
        queries(without=name)
