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
    # a NaN beside the diagonal would be silent in the original
    found = RetrievalMetric(ties="original")(predictions_of(case["inputs"]["outputs"]))
    ours = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "MR": "median_rank"}
    return {theirs: found["text_to_video"][name] for theirs, name in ours.items()}


def moments(case: Case) -> Figures:
    ranked, targets = case["inputs"]["outputs"], case["inputs"]["targets"]
    segments = sorted({(s, e) for s in range(6) for e in range(s, 6)})
    scores = np.full((len(ranked), len(segments)), -np.inf)
    for row, own in enumerate(ranked):
        for place, segment in enumerate(own):
            scores[row, segments.index(tuple(segment))] = -place
    predictions = {
        **both(len(ranked)),
        "segments": np.array(segments),
        "scores": scores,
        "annotated": np.repeat(np.arange(len(targets)), [len(t["times"]) for t in targets]),
        "moments": np.concatenate([t["times"] for t in targets]),
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


def actions(case: Case) -> Figures:
    inputs = case["inputs"]
    found = ActionRecognitionMetric(ties="original")(
        {
            **both(len(inputs["targets"])),
            "labels": np.array(inputs["targets"]),
            "folds": np.array(inputs["splits"]).T,
            "scores": np.array(inputs["outputs"]),
        }
    )
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
    return any(isinstance(value, float) and math.isnan(value) for value in case["out"].values())


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


def test_ties_of_the_original_and_ours_differ_only_where_scores_are_equal(golden: Golden):
    for case in golden.json(FILE):
        if case["metric"] != "RetrievalMetric" or not is_sound(case):
            continue
        scores = np.array(case["inputs"]["outputs"])
        diagonal = scores[np.arange(len(scores)), np.arange(len(scores))]
        found = RetrievalMetric()(predictions_of(scores))["text_to_video"]
        if ((scores == diagonal[:, None]).sum(axis=1) == 1).all():
            assert found["R@1"] == pytest.approx(case["out"]["R1"], rel=1e-9)
            assert found["median_rank"] == pytest.approx(case["out"]["MR"], rel=1e-9)
        if (scores == scores[0, 0]).all():
            assert found["R@1"] == pytest.approx(1 / scores.shape[1])
        assert found["queries"] == len(scores)


def test_what_has_no_figure_in_the_original_is_an_error_here(golden: Golden):
    """NaN scores, an empty split, and a task of which no step is present."""
    for case in golden.json(FILE):
        if not is_sound(case) and (has_nan(case) or not is_partial(case)):
            errors = "NaN|a step to score|no step is present|without a prediction|does not have"
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
