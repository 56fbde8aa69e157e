"""Scores and ranks of retrieval against recorded outputs of the original code.

Its figures are compared in ``test_golden_metrics.py``.
"""

from __future__ import annotations

import numpy as np
import pytest

from mmvt.evaluators.metrics.ranks import VectorScores
from mmvt.evaluators.metrics.retrieval import RetrievalMetric
from tests.golden.conftest import Golden
from tests.golden.originals import CLOSE
from tests.retrieval_cases import as_vectors, predictions_of

pytestmark = pytest.mark.golden


def vectors(golden: Golden) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (texts, videos, scores); vectors come in batches, scores are of all together."""
    arrays = golden.arrays("predictors/predictors.safetensors")
    batches = sum(name.startswith("retr.in.") for name in arrays) // 2
    text, video = (
        np.concatenate([arrays[f"retr.in.{number}.pooled_{kind}"] for number in range(batches)])
        for kind in ("text", "video")
    )
    return text, video, arrays["retr.out"]


def test_scores_are_those_of_the_original_predictor(golden: Golden):
    text, video, recorded = vectors(golden)
    np.testing.assert_allclose(VectorScores(text, video).rows(0, len(text)), recorded, **CLOSE)


def test_vectors_and_the_scores_of_the_original_rank_alike(golden: Golden):
    text, video, recorded = vectors(golden)
    predictions = predictions_of(recorded)
    by_scores = RetrievalMetric()(predictions)
    by_vectors = RetrievalMetric()(as_vectors(predictions, text, video))
    assert by_vectors == by_scores
