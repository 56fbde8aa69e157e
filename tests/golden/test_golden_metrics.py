"""Figures of all metrics against recorded ones of the original code."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.action import ActionRecognitionMetric
from mmvt.evaluators.metrics.choice import MultipleChoiceMetric
from mmvt.evaluators.metrics.localization import StepRecallMetric
from mmvt.evaluators.metrics.moment import MomentMetric
from mmvt.evaluators.metrics.retrieval import RetrievalMetric
from mmvt.evaluators.metrics.segmentation import SegmentationMetric
from tests.golden.conftest import Golden
from tests.retrieval_cases import predictions_of

pytestmark = pytest.mark.golden

FILE = "metrics/metrics.json"
Case = dict[str, Any]
Figures = dict[str, Any]


def names(count: int) -> np.ndarray:
    return np.array([f"q{number:04d}" for number in range(count)])


def both(count: int) -> Predictions:
    """Return the ids of a split of which all is predicted."""
    return {"ids": names(count), "scored_ids": names(count)}


def retrieval(case: Case) -> Figures:
    found = RetrievalMetric(ties="original")(predictions_of(case["inputs"]["outputs"]))
    ours = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "MR": "median_rank"}
    return {theirs: found["text_to_video"][name] for theirs, name in ours.items()}


def moments(case: Case) -> Figures:
    ranked, targets = case["inputs"]["outputs"], case["inputs"]["targets"]
    segments = sorted({tuple(segment) for own in ranked for segment in own})
    scores = np.full((len(ranked), len(segments)), -np.inf)
    for row, own in enumerate(ranked):
        for place, segment in enumerate(own):
            scores[row, segments.index(tuple(segment))] = -place
    predictions = {
        **both(len(ranked)),
        "segments": np.array(segments, int).reshape(-1, 2),
        "scores": scores,
        "annotated": np.repeat(np.arange(len(targets)), [len(t["times"]) for t in targets]),
        "moments": np.array([time for t in targets for time in t["times"]], int).reshape(-1, 2),
    }
    found = MomentMetric()(predictions)
    return {"rank1": found["Rank@1"], "rank5": found["Rank@5"], "miou": found["mIoU"]}


def segmentation(case: Case) -> Figures:
    targets = np.array(case["inputs"]["targets"], int)
    predictions = {
        **both(1),
        "frames": np.array([len(targets)]),
        "targets": targets,
        "classes": np.array(case["inputs"]["outputs"], int),
    }
    return {"frame_acc": SegmentationMetric()(predictions)["frame_accuracy"]}


def steps(case: Case, **options: Any) -> Figures:
    targets, outputs = case["inputs"]["targets"], case["inputs"]["outputs"]
    truth = {(task, v): np.array(m) for task, own in targets.items() for v, m in own.items()}
    said = {(task, v): np.array(m, int) for task, own in outputs.items() for v, m in own.items()}
    found = StepRecallMetric(**options)(
        {
            "ids": np.array([f"{task}_{video}" for task, video in truth]),
            "tasks": np.array([task for task, _ in truth]),
            "frames": np.array([len(m) for m in truth.values()]),
            "steps": np.array([m.shape[1] for m in truth.values()]),
            "targets": np.concatenate([m.ravel() for m in truth.values()]),
            "scored_ids": np.array([f"{task}_{video}" for task, video in said]),
            "assigned": np.concatenate([m.ravel() for m in said.values()]),
        }
    )
    return {**found["tasks"], "recall": found["recall"]}


def choice(case: Case) -> Figures:
    outputs, targets = case["inputs"]["outputs"], case["inputs"]["targets"]
    predictions = {
        **both(len(targets)),
        "answers": np.array(targets),
        "choices": np.array(outputs),
    }
    return {"acc": MultipleChoiceMetric()(predictions)["accuracy"]}


def action_predictions(case: Case) -> Predictions:
    inputs = case["inputs"]
    return {
        **both(len(inputs["targets"])),
        "labels": np.array(inputs["targets"]),
        "folds": np.array(inputs["splits"]).T,
        "scores": np.array(inputs["outputs"]),
    }


def actions(case: Case) -> Figures:
    found = ActionRecognitionMetric(ties="original")(action_predictions(case))
    each = {f"r{k}_splits": [split[f"R@{k}"] for split in found["splits"]] for k in (1, 5, 10)}
    return {"acc": found["accuracy"], "acc_splits": found["accuracy_of_splits"], **each}


METRICS: Mapping[str, Callable[[Case], Figures]] = {
    "RetrievalMetric": retrieval,
    "DiDeMoMetric": moments,
    "COINActionSegmentationMetric": segmentation,
    "CrossTaskMetric": steps,
    "QAMetric": choice,
    "ActionRecognitionMetric": actions,
}


@pytest.fixture(scope="module")
def cases(golden: Golden) -> list[Case]:
    return list(golden.json(FILE))


def is_sound(case: Case) -> bool:
    """Return whether the original gives figures, and of all that it was asked for."""
    return "__error__" not in case["out"] and not has_nan(case) and not is_partial(case)


def has_nan(case: Case) -> bool:
    """Return whether a figure or a score is NaN; one beside the diagonal is silent there."""
    return any(map(is_nan, case["out"].values())) or is_nan(case["inputs"]["outputs"])


def is_nan(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(is_nan, value))
    return isinstance(value, float) and math.isnan(value)


def is_partial(case: Case) -> bool:
    """Return whether videos of a task are missing or were not asked for."""
    if case["metric"] != "CrossTaskMetric":
        return False
    inputs = case["inputs"]
    said, asked = (
        {(task, video) for task, own in inputs[key].items() for video in own}
        for key in ("outputs", "targets")
    )
    return said != asked


def test_all_metrics_and_figures_of_the_file_are_known(golden: Golden, cases: list[Case]):
    assert {case["metric"] for case in golden.json(FILE)} <= set(METRICS)
    for case in cases:
        assert set(case) == {"metric", "inputs", "out"}
    assert any(is_sound(case) for case in cases)


def test_figures_are_those_of_the_original(golden: Golden):
    for case in filter(is_sound, golden.json(FILE)):
        found = METRICS[case["metric"]](case)
        assert found.keys() == case["out"].keys()
        for name, value in case["out"].items():
            assert found[name] == pytest.approx(value, rel=1e-9), (case["metric"], name)


def expected_recall(scores: np.ndarray, right: np.ndarray, k: int) -> float:
    """Return R@k over a random order of equal scores: truth in t places, m of them up to k: m/t."""
    total = 0.0
    for row, place in zip(scores, right, strict=True):
        above, equal = (row > row[place]).sum(), (row == row[place]).sum()
        total += min(equal, max(0, k - above)) / equal
    return total / len(scores)


def test_ours_of_retrieval_is_the_expectation_where_scores_are_equal(golden: Golden):
    for case in golden.json(FILE):
        if case["metric"] != "RetrievalMetric" or not is_sound(case):
            continue
        scores = np.array(case["inputs"]["outputs"])
        right = np.arange(len(scores))
        found = RetrievalMetric()(predictions_of(scores))["text_to_video"]
        for k, theirs in ((1, "R1"), (5, "R5"), (10, "R10")):
            assert found[f"R@{k}"] == pytest.approx(expected_recall(scores, right, k), rel=1e-9)
            if all((row == row[place]).sum() == 1 for place, row in enumerate(scores)):
                assert found[f"R@{k}"] == pytest.approx(case["out"][theirs], rel=1e-9)
        assert found["queries"] == len(scores)


def test_ours_of_actions_is_the_expectation_where_scores_are_equal(golden: Golden):
    for case in golden.json(FILE):
        if case["metric"] != "ActionRecognitionMetric" or not is_sound(case):
            continue
        inputs = case["inputs"]
        scores, labels = np.array(inputs["outputs"]), np.array(inputs["targets"])
        found = ActionRecognitionMetric()(action_predictions(case))
        for split, tested in zip(found["splits"], np.array(inputs["splits"]) == 2, strict=True):
            for k in (1, 5, 10):
                expected = expected_recall(scores[tested], labels[tested], k)
                assert split[f"R@{k}"] == pytest.approx(expected, rel=1e-9)


def test_what_has_no_figure_in_the_original_is_an_error_here(golden: Golden):
    """NaN scores, an empty split, texts without a video, and a task of which no step is present."""
    for case in golden.json(FILE):
        if not is_sound(case) and (has_nan(case) or not is_partial(case)):
            errors = (
                "NaN|a step to score|no step is present|without a prediction|does not have|"
                "a split without|tests no clip|text_video must hold"
            )
            with pytest.raises(DataError, match=errors):
                METRICS[case["metric"]](case)


def test_missing_videos_are_an_error_or_misses_and_unexpected_ones_an_error(golden: Golden):
    """The original leaves both out, so that a task can be found in whole by half of its videos."""
    for case in golden.json(FILE):
        if not is_partial(case) or has_nan(case):
            continue
        targets, outputs = case["inputs"]["targets"], case["inputs"]["outputs"]
        with pytest.raises(DataError, match="without a prediction|does not have"):
            steps(case)
        known = {
            task: {v: m for v, m in own.items() if v in targets.get(task, {})}
            for task, own in outputs.items()
        }
        expected = {"metric": case["metric"], "inputs": {"targets": targets, "outputs": known}}
        original = steps(expected, allow_missing=True, rule="original")
        assert original == pytest.approx(case["out"], rel=1e-9)
        ours = steps(expected, allow_missing=True)
        assert ours["recall"] <= original["recall"]
        if known != outputs and not any(targets[t].keys() - known.get(t, {}) for t in targets):
            assert ours == original
        for task, own in targets.items():
            present = sum(np.array(matrix).any(axis=0).sum() for matrix in own.values())
            hits = sum((np.array(own[v]) * np.array(m)).sum() for v, m in known[task].items())
            assert ours[task] == pytest.approx(hits / present)
