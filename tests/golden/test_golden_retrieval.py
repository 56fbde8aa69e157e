"""Retrieval figures and scores against recorded outputs of the original code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from mmvt.errors import DataError
from mmvt.evaluators.metrics.ranks import VectorScores
from mmvt.evaluators.metrics.retrieval import RetrievalMetric
from tests.retrieval_cases import predictions_of

pytestmark = pytest.mark.golden

NAMES = ("rand20", "diag_best", "one", "all_equal5", "ties", "neg", "nonsquare_3x5", "rand30_f32")
WITHOUT_TIES = ("rand20", "diag_best", "one", "neg", "nonsquare_3x5", "rand30_f32")


@pytest.fixture(scope="module")
def cases(shared: Path) -> dict[str, Any]:
    recorded = json.loads((shared / "golden" / "metrics" / "metrics.json").read_text())
    return {
        case["inputs"]["name"]: case for case in recorded if case["metric"] == "RetrievalMetric"
    }


def figures(case: dict[str, Any], metric: RetrievalMetric) -> dict[str, float]:
    """Return the figures of a case under the original's names."""
    found = metric(predictions_of(case["inputs"]["outputs"]))["text_to_video"]
    names = {"R1": "R@1", "R5": "R@5", "R10": "R@10", "MR": "median_rank"}
    return {theirs: found[ours] for theirs, ours in names.items()}


def test_every_recorded_case_is_compared(cases: dict[str, Any]):
    assert {*cases} == {*NAMES, "nan_diag"}


@pytest.mark.parametrize("name", NAMES)
def test_original_ties_give_the_original_figures(cases: dict[str, Any], name: str):
    assert figures(cases[name], RetrievalMetric(ties="original")) == pytest.approx(
        cases[name]["out"], rel=1e-12
    )


@pytest.mark.parametrize("name", WITHOUT_TIES)
def test_without_ties_both_rules_agree(cases: dict[str, Any], name: str):
    assert figures(cases[name], RetrievalMetric()) == pytest.approx(cases[name]["out"], rel=1e-12)


def test_all_equal_scores_are_at_chance_by_our_rule(cases: dict[str, Any]):
    found = figures(cases["all_equal5"], RetrievalMetric())
    assert found == {"R1": 0.2, "R5": 1, "R10": 1, "MR": 3}


@pytest.mark.parametrize("ties", ["expectation", "original"])
def test_nan_scores_that_end_the_original_are_named(cases: dict[str, Any], ties: Any):
    with pytest.raises(DataError, match="4 scores are NaN: 't0 with v0'"):
        figures(cases["nan_diag"], RetrievalMetric(ties=ties))


def test_scores_are_those_of_the_original_predictor(shared: Path):
    arrays = load_file(shared / "golden" / "predictors" / "predictors.safetensors")
    text, video = (
        np.concatenate([arrays[f"retr.in.{batch}.pooled_{kind}"] for batch in range(3)])
        for kind in ("text", "video")
    )
    np.testing.assert_allclose(
        VectorScores(text, video).rows(0, len(text)), arrays["retr.out"], rtol=1e-5, atol=1e-6
    )
