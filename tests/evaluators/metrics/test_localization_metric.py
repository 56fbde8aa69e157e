from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.localization import Localized, StepRecallMetric, step_recalls

Matrices = Mapping[str, tuple[str, list[list[int]]]]

# two steps in three seconds, both done; one step of a second task in two seconds
TRUTH: Matrices = {
    "a": ("cake", [[1, 0], [1, 0], [0, 1]]),
    "b": ("cake", [[1, 0], [0, 1], [0, 0]]),
    "c": ("tyre", [[0], [1]]),
}


def predictions_of(truth: Matrices, said: Mapping[str, list[list[int]]]) -> Predictions:
    """Return predictions of videos by id: (task, seconds × steps), and what is said."""
    matrices = [np.array(matrix) for _, matrix in truth.values()]
    return {
        "ids": np.array(list(truth)),
        "tasks": np.array([task for task, _ in truth.values()]),
        "frames": np.array([len(matrix) for matrix in matrices]),
        "steps": np.array([matrix.shape[1] for matrix in matrices]),
        "targets": np.concatenate([matrix.ravel() for matrix in matrices]),
        "scored_ids": np.array(list(said), np.str_),
        "assigned": np.array([v for m in said.values() for row in m for v in row], np.int64),
    }


def same(truth: Matrices) -> dict[str, list[list[int]]]:
    """Return the first second of each step, in another order of the videos."""
    return {
        name: (np.cumsum(matrix, axis=0) * matrix == 1).astype(int).tolist()
        for name, (_, matrix) in reversed(truth.items())
    }


def test_perfect_and_wholly_wrong_assignments():
    perfect = StepRecallMetric()(predictions_of(TRUTH, same(TRUTH)))
    assert perfect["recall"] == 1
    assert perfect["tasks"] == {"cake": 1, "tyre": 1}
    wrong = {"a": [[0, 1], [0, 0], [1, 0]], "b": [[0, 1], [1, 0], [0, 0]], "c": [[1], [0]]}
    assert StepRecallMetric()(predictions_of(TRUTH, wrong))["recall"] == 0


def test_recall_is_the_mean_over_tasks_and_not_over_videos_or_steps():
    said = {"a": [[1, 0], [0, 1], [0, 0]], "b": [[0, 1], [1, 0], [0, 0]], "c": [[0], [1]]}
    found = StepRecallMetric()(predictions_of(TRUTH, said))
    assert found["tasks"] == {"cake": 1 / 4, "tyre": 1.0}
    assert found["recall"] == (1 / 4 + 1) / 2


def test_a_step_that_is_not_done_does_not_count():
    truth = {"a": ("cake", [[1, 0], [1, 0]])}
    found = StepRecallMetric()(predictions_of(truth, {"a": [[1, 0], [0, 1]]}))
    assert found["recall"] == 1
    assert found["protocol"]["steps_present"] == 1


def test_the_protocol_counts_what_was_asked():
    protocol = StepRecallMetric()(predictions_of(TRUTH, same(TRUTH)))["protocol"]
    assert protocol["name"] == "step localization"
    assert {name: protocol[name] for name in ("videos", "tasks", "steps_present")} == {
        "videos": 3,
        "tasks": 2,
        "steps_present": 5,
    }
    assert (protocol["missing_videos"], protocol["rule"]) == (0, "misses")


def test_a_video_shorter_than_its_steps_is_reported_and_its_steps_are_missed():
    truth = {**TRUTH, "d": ("cake", [[1, 1]])}
    said = {**same(TRUTH), "d": [[0, 0]]}
    found = StepRecallMetric()(predictions_of(truth, said))
    assert found["protocol"]["videos_shorter_than_their_steps"] == 1
    assert found["tasks"]["cake"] == 4 / 6


def test_a_missing_video_is_an_error_or_misses_all_its_steps():
    said = {name: own for name, own in same(TRUTH).items() if name != "b"}
    predictions = predictions_of(TRUTH, said)
    with pytest.raises(DataError, match="1 videos without a prediction: 'b'"):
        StepRecallMetric()(predictions)
    found = StepRecallMetric(allow_missing=True)(predictions)
    assert found["tasks"] == {"cake": 0.5, "tyre": 1.0}
    assert found["protocol"]["missing_videos"] == 1


def test_the_rule_of_the_original_finds_all_by_half_of_the_videos():
    said = {name: own for name, own in same(TRUTH).items() if name != "b"}
    metric = StepRecallMetric(rule="original", allow_missing=True)
    assert metric(predictions_of(TRUTH, said))["tasks"] == {"cake": 1.0, "tyre": 1.0}
    with pytest.raises(DataError, match="there is no video with a prediction"):
        metric(predictions_of(TRUTH, {}))


def test_nothing_predicted_is_a_recall_of_zero():
    found = StepRecallMetric(allow_missing=True)(predictions_of(TRUTH, {}))
    assert (found["recall"], found["protocol"]["missing_videos"]) == (0, 3)


def test_a_second_drawn_at_random_finds_the_share_of_seconds_in_which_the_step_is_done():
    rng = np.random.default_rng(0)
    truth = {f"v{n:03}": ("cake", [[1], [0], [0], [0]]) for n in range(400)}
    said = {name: np.eye(4, dtype=int)[rng.integers(4)][:, None].tolist() for name in truth}
    assert 0.19 < StepRecallMetric()(predictions_of(truth, said))["recall"] < 0.31


def test_the_order_of_rows_changes_nothing():
    forth = predictions_of(TRUTH, same(TRUTH))
    back = predictions_of(TRUTH, dict(reversed(same(TRUTH).items())))
    assert StepRecallMetric()(forth) == StepRecallMetric()(back)


def test_a_task_without_a_step_present_has_no_recall():
    with pytest.raises(DataError, match="no step is present: task cake"):
        step_recalls([Localized("cake", np.zeros((2, 1), int), None)])
    with pytest.raises(DataError, match="there is no video"):
        step_recalls([])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tasks": np.array(["cake"])}, "tasks has the shape"),
        ({"frames": np.array([3, 3, -1])}, "frames must hold whole numbers"),
        ({"steps": np.array([2, 2])}, "steps has the shape"),
        ({"targets": np.array([2] * 14)}, "targets must hold whole numbers from 0 to 1"),
        ({"targets": np.array([0, 1])}, r"targets has the shape \(2,\), but 3 videos need 14"),
        ({"assigned": np.array([np.nan] * 14)}, "assigned must hold whole numbers"),
        ({"assigned": np.array([1])}, "assigned has the shape"),
        ({"scored_ids": np.array(["a", "b", "x"])}, "does not have: 'x'"),
        ({"scored_ids": np.array(["a", "b", "b"])}, "more than once: 'b'"),
    ],
)
def test_arrays_that_do_not_fit_are_errors(change: dict[str, Any], problem: str):
    with pytest.raises(DataError, match=problem):
        StepRecallMetric(allow_missing=True)({**predictions_of(TRUTH, same(TRUTH)), **change})
