from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.action import ActionRecognitionMetric

# 1 = training, 2 = testing, 0 = neither; a column a split
FOLDS = np.array([[2, 1], [2, 2], [1, 2], [0, 2]])
LABELS = np.array([0, 1, 2, 1])


def predictions_of(
    scores: Any, labels: np.ndarray = LABELS, folds: np.ndarray = FOLDS
) -> Predictions:
    ids = np.array([f"c{number}" for number in range(len(labels))])
    return {
        "ids": ids,
        "labels": labels,
        "folds": folds,
        "scored_ids": ids,
        "scores": np.asarray(scores, float),
    }


def one_hot(labels: np.ndarray, classes: int = 12) -> np.ndarray:
    return np.eye(classes)[labels]


def test_perfect_and_reversed_scores():
    perfect = ActionRecognitionMetric()(predictions_of(one_hot(LABELS)))
    assert (perfect["accuracy"], perfect["accuracy_of_splits"]) == (1, [1, 1])
    worst = ActionRecognitionMetric()(predictions_of(-one_hot(LABELS)))
    assert worst["splits"] == [{"R@1": 0, "R@5": 0, "R@10": 0}] * 2


def test_a_split_tests_only_its_own_clips():
    scores = one_hot(LABELS)
    scores[0] = -scores[0]  # tested by the first split, for training in the second
    found = ActionRecognitionMetric()(predictions_of(scores))
    assert found["accuracy"] == found["accuracy_of_splits"][0] == 0.5
    assert found["accuracy_of_splits"][1] == 1
    assert found["protocol"]["tested_clips"] == [2, 3]
    assert (found["protocol"]["clips"], found["protocol"]["classes"]) == (4, 12)


def test_ranks_by_hand():
    scores = -np.tile(np.arange(12.0), (3, 1))
    labels, folds = np.array([0, 4, 9]), np.full((3, 1), 2)
    found = ActionRecognitionMetric()(predictions_of(scores, labels, folds))
    assert found["splits"] == [{"R@1": 1 / 3, "R@5": 2 / 3, "R@10": 1}]


@pytest.mark.parametrize("classes", [1, 2, 6, 51])
def test_equal_scores_are_exactly_at_chance(classes: int):
    labels, folds = np.arange(classes), np.full((classes, 1), 2)
    found = ActionRecognitionMetric()(predictions_of(np.zeros((classes, classes)), labels, folds))
    assert found["splits"][0] == pytest.approx(found["chance"])
    assert found["chance"] == {f"R@{k}": min(1, k / classes) for k in (1, 5, 10)}


def test_the_original_counts_a_clip_once_for_every_tied_class():
    scores = [[1.0, 1, 0], [0, 1, 0]]
    predictions = predictions_of(scores, np.array([0, 1]), np.full((2, 1), 2))
    assert ActionRecognitionMetric()(predictions)["accuracy"] == 0.75
    assert ActionRecognitionMetric(ties="original")(predictions)["accuracy"] == 2 / 3


def test_the_order_of_rows_changes_nothing():
    scores = np.random.default_rng(0).normal(size=(4, 12))
    forth = predictions_of(scores)
    back = {**forth, "scored_ids": forth["scored_ids"][::-1], "scores": forth["scores"][::-1]}
    assert ActionRecognitionMetric()(forth) == ActionRecognitionMetric()(back)


@pytest.mark.parametrize("ties", ["expectation", "original"])
def test_a_missing_clip_is_an_error_or_a_miss_of_every_split_that_tests_it(ties: Any):
    predictions = predictions_of(one_hot(LABELS))
    predictions |= {
        "scored_ids": np.array(["c0", "c2", "c3"]),
        "scores": one_hot(LABELS[[0, 2, 3]]),
    }
    with pytest.raises(DataError, match="1 clips without a prediction: 'c1'"):
        ActionRecognitionMetric(ties=ties)(predictions)
    found = ActionRecognitionMetric(ties=ties, allow_missing=True)(predictions)
    assert found["accuracy_of_splits"] == [0.5, 2 / 3]
    assert found["splits"][0] == {"R@1": 0.5, "R@5": 0.5, "R@10": 0.5}
    assert found["protocol"]["missing_clips"] == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"scores": np.full((4, 3), np.nan)}, "scores of 4 ids hold NaN or inf"),
        (
            {"scores": np.zeros(4)},
            r"scores have the shape \(4,\), but need one of \(clips, classes",
        ),
        ({"scores": np.zeros((4, 0))}, r"scores have the shape \(4, 0\)"),
        ({"scores": np.zeros((3, 3))}, "must have 4 rows"),
        ({"scores": np.zeros((4, 2))}, "class of 1 clips is not among the 2 .* scores: 'c2'"),
        ({"labels": np.array([0, 1, 2, -1])}, "labels must hold whole numbers"),
        ({"folds": np.array([2, 2, 2, 2])}, r"folds have the shape \(4,\)"),
        ({"folds": np.zeros((4, 0), int)}, r"folds have the shape \(4, 0\)"),
        ({"folds": np.array([[2, 1]] * 4)}, "split 2 of 2 tests no clip"),
        ({"scored_ids": np.array(["c0", "c1", "c2", "x"])}, "does not have: 'x'"),
    ],
)
def test_arrays_that_do_not_fit_are_errors(change: dict[str, Any], problem: str):
    with pytest.raises(DataError, match=problem):
        ActionRecognitionMetric()({**predictions_of(one_hot(LABELS, 3)), **change})
