"""Open questions: how often the answer that is written is the right one, to the letter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool
from typing_extensions import override

from mmvt.errors import DataError
from mmvt.evaluators.arrays import Asked, read, read_whole
from mmvt.evaluators.base import Metric, Predictions
from mmvt.evaluators.metrics.choice import BASELINES, accuracies


class AnswerMetric(Metric):
    """Accuracy over all questions, and over those of each kind.

    An answer is right if it equals the right one as it is written, or as the tokenizer reads it
    back from its tokens. Nothing else is the same.

    Arrays: ``ids``, ``answers``, ``read_back`` and ``groups`` (questions,) or (questions, levels)
    of the split, and ``known`` and ``guesses`` where training is known; ``scored_ids``, ``said``,
    and ``question_only_said`` and ``answer_only_said`` where the model was asked without the video.

    ``vocabulary_ceiling`` is the share of questions whose answer occurs in training, and
    ``majority`` what the most frequent answer to questions with the same first word gets.

    Source: ALPRO (arXiv 2112.09583) §4.3, for accuracies and shares of kinds of question.

    Args:
        allow_missing: count questions without an answer as wrong, instead of refusing.
    """

    def __init__(self, *, allow_missing: bool = False) -> None:
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "question", allow_missing=self.allow_missing)
        count = len(asked.ids)
        right = [_texts(predictions, name, count) for name in ("answers", "read_back")]
        groups = read(predictions, "groups", count) if "groups" in predictions else None

        def figures(name: str) -> dict[str, Any]:
            said = _texts(predictions, name, len(asked.places))
            credit = np.zeros(count)
            credit[asked.places] = _equal(said, [own[asked.places] for own in right])
            return accuracies(credit, groups)

        results = {**figures("said"), "questions": count}
        results |= {
            name: figures(f"{name}_said") for name in BASELINES if f"{name}_said" in predictions
        }
        if "known" in predictions:
            known = read_whole(predictions, "known", count, end=2)
            results["vocabulary_ceiling"] = float(known.mean())
            guesses = _texts(predictions, "guesses", count)
            results["majority"] = accuracies(_equal(guesses, right).astype(float), groups)
        protocol = asked.protocol("open answers")
        return {"protocol": {**protocol, "match": "exact, as written or as read back"}, **results}


def _equal(said: np.ndarray, right: list[np.ndarray]) -> Bool[np.ndarray, " questions"]:
    return np.any([said == own for own in right], axis=0)


def _texts(predictions: Predictions, name: str, rows: int) -> np.ndarray:
    """Return an array of texts.

    Raises:
        DataError: it is absent, has another number of rows, or holds something else.
    """
    array = read(predictions, name, rows)
    # what has no element has no type either
    if array.ndim != 1 or (array.size and array.dtype.kind != "U"):
        raise DataError(f"{name} must hold one text each")
    return array.astype(np.str_)
