"""A saved prediction file is scored again to the same bytes, whatever the metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.evaluator import rescore
from mmvt.evaluators.predictions import PREDICTIONS, RESULTS, save_predictions

IDS = np.array(["a", "b"])
BOTH = {"ids": IDS, "scored_ids": IDS[::-1]}
SAVED: dict[str, Predictions] = {
    "MultipleChoiceMetric": {
        **BOTH,
        "answers": np.array([0, 1]),
        "scores": np.array([[0.5, 0.5, -np.inf], [0.1, 0.2, 0.3]], np.float32),
    },
    "SegmentationMetric": {
        **BOTH,
        "frames": np.array([2, 3]),
        "targets": np.array([0, 1, 2, 2, 0]),
        "classes": np.array([2, 0, 0, 0, 1]),
    },
    "StepRecallMetric": {
        **BOTH,
        "tasks": np.array(["cake", "tyre"]),
        "frames": np.array([2, 1]),
        "steps": np.array([2, 1]),
        "targets": np.array([1, 0, 0, 1, 1], np.uint8),
        "assigned": np.array([1, 0, 1, 0, 1], np.uint8),
    },
    "MomentMetric": {
        **BOTH,
        "annotated": np.array([0, 1]),
        "moments": np.array([[0, 0], [0, 1]]),
        "segments": np.array([[0, 0], [1, 1], [0, 1]]),
        "scores": np.array([[1.0, 1, 1], [0, -np.inf, 0]]),
    },
    "HighlightMetric": {
        **BOTH,
        "durations": np.array([4.0, 4.0]),
        "window_query": np.array([0, 1]),
        "windows": np.array([[0.0, 2.0], [1.0, 4.0]]),
        "scored_window_query": np.array([0, 1]),
        "scored_windows": np.array([[0.0, 3.0], [1.0, 4.0]]),
    },
    "ActionRecognitionMetric": {
        **BOTH,
        "labels": np.array([0, 2]),
        "folds": np.array([[2], [2]]),
        "scores": np.array([[0.5, 0.5, 0.1], [0.1, 0.2, 0.3]], np.float16),
    },
}


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize("options", [{}, {"allow_missing": True}])
def test_scoring_again_gives_the_same_bytes(name: str, options: dict[str, Any], tmp_path: Path):
    protocol = {"metric": {"name": name, **options}, "split": "test"}
    save_predictions(tmp_path / PREDICTIONS, SAVED[name], protocol)
    results = rescore(tmp_path / PREDICTIONS)
    written = (tmp_path / RESULTS).read_bytes()
    assert rescore(tmp_path / PREDICTIONS, tmp_path / "again") == results
    assert (tmp_path / "again" / RESULTS).read_bytes() == written
    assert results["protocol"]["split"] == "test"
    assert len(results["protocol"]["ids_sha256"]) == 64


@pytest.mark.parametrize("name", SAVED)
@pytest.mark.parametrize(
    ("scored", "problem"),
    [
        (["a", "x"], "that the split does not have: 'x'"),
        (["a", "a"], "predicted more than once: 'a'"),
    ],
)
def test_wrong_ids_in_a_file_are_an_error_that_writes_nothing(
    name: str, scored: list[str], problem: str, tmp_path: Path
):
    changed = {**SAVED[name], "scored_ids": np.array(scored)}
    protocol = {"metric": {"name": name, "allow_missing": True}}
    save_predictions(tmp_path / PREDICTIONS, changed, protocol)
    with pytest.raises(DataError, match=problem):
        rescore(tmp_path / PREDICTIONS)
    assert not (tmp_path / RESULTS).exists()
