from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.moment import MomentMetric, chunk_iou, moment_rank
from mmvt.evaluators.predictors.segments import chunk_segments

SEGMENTS = np.array(chunk_segments())
ALL = [(first, last) for first in range(6) for last in range(first, 6)]

Truth = Sequence[Sequence[tuple[int, int]]]


def predictions_of(truth: Truth, scores: np.ndarray | Sequence[Sequence[float]]) -> Predictions:
    """Return predictions of sentences s0, s1 …, with the segments of their annotators."""
    ids = np.array([f"s{number}" for number in range(len(truth))])
    return {
        "ids": ids,
        "annotated": np.repeat(np.arange(len(truth)), [len(own) for own in truth]),
        "moments": np.concatenate([np.array(own) for own in truth]),
        "segments": SEGMENTS,
        "scored_ids": ids,
        "scores": np.asarray(scores, float),
    }


def ranking(*best: tuple[int, int]) -> np.ndarray:
    """Return scores that rank these segments first, and all others below in their order."""
    order = [*best, *(segment for segment in map(tuple, SEGMENTS.tolist()) if segment not in best)]
    return np.array([-order.index(tuple(segment)) for segment in SEGMENTS.tolist()], float)


def test_there_are_twenty_one_segments_single_chunks_first():
    assert len(SEGMENTS) == 21
    assert [tuple(segment) for segment in SEGMENTS[:6]] == [(n, n) for n in range(6)]
    assert sorted(map(tuple, SEGMENTS.tolist())) == ALL


def test_perfect_and_reversed_rankings():
    truth = [[segment] * 4 for segment in ALL]
    perfect = MomentMetric()(predictions_of(truth, [ranking(own[0]) for own in truth]))
    assert (perfect["Rank@1"], perfect["Rank@5"], perfect["mIoU"]) == (1, 1, 1)
    last = MomentMetric()(predictions_of(truth, [-ranking(own[0]) for own in truth]))
    assert (last["Rank@1"], last["Rank@5"]) == (0, 0)


def test_ranks_and_overlaps_of_the_three_nearest_annotators_by_hand():
    # ranks 1, 1, 2 and 4 of the annotators: the mean of the first three is 4/3
    ranked = np.array([[0, 1], [0, 0], [5, 5], [2, 2]])
    truth = np.array([[0, 1], [2, 2], [0, 1], [0, 0]])
    rank, iou = moment_rank(ranked, truth)
    assert rank == pytest.approx(4 / 3)
    assert iou == pytest.approx((1 + 1 + 1 / 2) / 3)
    found = MomentMetric()(
        predictions_of([truth.tolist()], [ranking((0, 1), (0, 0), (5, 5), (2, 2))])
    )
    assert (found["Rank@1"], found["Rank@5"]) == (0, 1)
    assert found["mIoU"] == pytest.approx(2.5 / 3)


def test_an_annotation_that_is_not_ranked_does_not_count():
    ranked = np.array([[1, 1], [0, 0]])
    assert moment_rank(ranked, np.array([[0, 0], [4, 5]])) == (2, 0)
    assert moment_rank(ranked, np.array([[4, 5]])) == (np.inf, 0)
    assert moment_rank(np.zeros((0, 2), int), np.array([[4, 5]])) == (np.inf, 0)


@pytest.mark.parametrize(
    ("one", "other", "iou"),
    [
        ((0, 0), (0, 0), 1),
        ((0, 5), (0, 5), 1),
        ((0, 0), (1, 1), 0),
        ((0, 0), (5, 5), 0),
        ((0, 1), (1, 2), 1 / 3),
        ((0, 5), (2, 2), 1 / 6),
    ],
)
def test_overlap_counts_chunks_with_both_ends(
    one: tuple[int, int], other: tuple[int, int], iou: float
):
    assert chunk_iou(np.array(one), np.array(other)) == pytest.approx(iou)
    assert chunk_iou(np.array(other), np.array(one)) == pytest.approx(iou)


def test_equal_scores_are_at_chance():
    truth = [[segment] * 4 for segment in ALL] * 200
    found = MomentMetric()(predictions_of(truth, np.zeros((len(truth), 21))))
    overlaps = [chunk_iou(np.array(a), np.array(b)) for a, b in itertools.product(ALL, ALL)]
    # three standard deviations of shares over 4,200 sentences
    assert found["Rank@1"] == pytest.approx(1 / 21, abs=0.01)
    assert found["Rank@5"] == pytest.approx(5 / 21, abs=0.02)
    assert found["mIoU"] == pytest.approx(np.mean(overlaps), abs=0.02)


def test_the_original_rule_prefers_single_chunks_among_equals():
    zeros = np.zeros((2, 21))
    found = MomentMetric(ties="original")(predictions_of([[(0, 0)], [(0, 5)]], zeros))
    assert (found["Rank@1"], found["Rank@5"]) == (0.5, 0.5)


def test_the_order_of_sentences_and_segments_changes_nothing():
    rng = np.random.default_rng(0)
    predictions = predictions_of(
        [[ALL[place]] for place in rng.integers(21, size=50)], rng.integers(4, size=(50, 21))
    )
    order = rng.permutation(50)
    shuffled = {
        **predictions,
        "scored_ids": predictions["scored_ids"][order],
        "scores": predictions["scores"][order],
    }
    assert MomentMetric()(predictions) == MomentMetric()(shuffled)


def test_segments_that_are_not_in_the_video_are_not_ranked():
    scores = ranking((5, 5), (0, 0))
    scores[SEGMENTS[:, 0] == 5] = -np.inf
    found = MomentMetric()(predictions_of([[(0, 0)], [(5, 5)]], [scores, scores]))
    assert (found["Rank@1"], found["Rank@5"], found["mIoU"]) == (0.5, 0.5, 0.5)
    nothing = MomentMetric()(predictions_of([[(0, 0)]], np.full((1, 21), -np.inf)))
    assert (nothing["Rank@5"], nothing["mIoU"]) == (0, 0)


def test_a_missing_sentence_is_an_error_or_not_found():
    predictions = predictions_of([[(0, 0)], [(1, 2)]], [ranking((0, 0)), ranking((1, 2))])
    predictions |= {"scored_ids": np.array(["s1"]), "scores": predictions["scores"][1:]}
    with pytest.raises(DataError, match="1 sentences without a prediction: 's0'"):
        MomentMetric()(predictions)
    found = MomentMetric(allow_missing=True)(predictions)
    assert (found["Rank@1"], found["Rank@5"], found["mIoU"]) == (0.5, 0.5, 0.5)
    assert found["protocol"]["missing_sentences"] == 1


def test_the_protocol_counts_what_was_asked():
    truth = [[(0, 0)] * 4, [(1, 2)] * 5]
    protocol = MomentMetric()(predictions_of(truth, np.zeros((2, 21))))["protocol"]
    assert protocol["name"] == "moment retrieval"
    assert (protocol["sentences"], protocol["annotations"], protocol["segments"]) == (2, 9, 21)
    assert (protocol["annotators_counted"], protocol["ties"]) == (3, "random")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"scores": np.full((2, 21), np.nan)}, "scores of 2 ids hold NaN or inf: 's0', 's1'"),
        ({"scores": np.zeros((2, 20))}, r"scores have the shape \(2, 20\) for 21 segments"),
        ({"scores": np.zeros((1, 21))}, "scores has the shape"),
        ({"segments": np.array([0, 1])}, "segments must hold a first and a last chunk"),
        ({"segments": np.array([[1, 0]])}, "segments must hold a first and a last chunk"),
        ({"moments": np.array([[1, 0], [0, 0]])}, "moments must hold a first and a last chunk"),
        ({"moments": np.array([[0.5, 1], [0, 0]])}, "moments must hold whole numbers"),
        ({"annotated": np.array([0, 2])}, "annotated must hold whole numbers from 0 to 1"),
        ({"annotated": np.array([0, 0])}, "1 sentences have no annotation: 's1'"),
        ({"scored_ids": np.array(["s0", "x"])}, "does not have: 'x'"),
    ],
)
def test_arrays_that_do_not_fit_are_errors(change: dict[str, Any], problem: str):
    predictions = predictions_of([[(0, 0)], [(1, 2)]], np.zeros((2, 21)))
    with pytest.raises(DataError, match=problem):
        MomentMetric()({**predictions, **change})
