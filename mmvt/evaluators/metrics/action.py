"""Action recognition: the class of a clip, over several official splits of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Num
from typing_extensions import override

from mmvt.errors import DataError
from mmvt.evaluators.arrays import Asked, named, read_numbers, read_whole
from mmvt.evaluators.base import Metric, Predictions
from mmvt.evaluators.metrics.ranks import MatrixScores, Ranks, original_summary, rank, summary

RECALL_AT = (1, 5, 10)
TESTED = 2


class ActionRecognitionMetric(Metric):
    """Accuracy of the first split and of all, and R@1, R@5, R@10 of each.

    Arrays: ``ids``, ``labels`` (number of each one's class) and ``folds`` (clips, splits), 2 where
    a split tests the clip, of the split; ``scored_ids`` and ``scores`` (predicted, classes).

    Args:
        ties: ``expectation`` over a random order of equal scores, or ``original``: a clip counts
            once for every class that ties with its own.
        allow_missing: count clips without a prediction as not recognised, instead of refusing.
    """

    def __init__(
        self,
        *,
        ties: Literal["expectation", "original"] = "expectation",
        allow_missing: bool = False,
    ) -> None:
        self.ties = ties
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "clip", allow_missing=self.allow_missing)
        labels = read_whole(predictions, "labels", len(asked.ids))
        folds = read_whole(predictions, "folds", len(asked.ids))
        if folds.ndim != 2 or not folds.shape[1]:
            raise DataError(f"folds have the shape {folds.shape}, but need one of (clips, splits)")
        scores = read_numbers(predictions, "scores", asked.scored)
        ranks = _ranks(asked, scores, labels)
        tested = folds[asked.places] == TESTED
        totals = (folds == TESTED).sum(axis=0).tolist()
        if 0 in totals:
            raise DataError(f"split {totals.index(0) + 1} of {len(totals)} tests no clip")
        splits = [
            self._figures(ranks.only(np.flatnonzero(tested[:, fold])), total, scores.shape[1])
            for fold, total in enumerate(totals)
        ]
        return {
            "protocol": {
                **asked.protocol("action recognition"),
                "classes": scores.shape[1],
                "tested_clips": totals,
                "ties": self.ties,
            },
            "accuracy": splits[0]["R@1"],
            "accuracy_of_splits": [split["R@1"] for split in splits],
            "splits": splits,
            "chance": {f"R@{k}": min(1.0, k / scores.shape[1]) for k in RECALL_AT},
        }

    def _figures(self, ranks: Ranks, total: int, classes: int) -> dict[str, float]:
        summarise = original_summary if self.ties == "original" else summary
        figures = summarise(ranks, RECALL_AT, misses=total - len(ranks.above), candidates=classes)
        return {name: figures[name] for name in figures if name.startswith("R@")}


def _ranks(asked: Asked, scores: Num[np.ndarray, "clips *classes"], labels: np.ndarray) -> Ranks:
    """Return the rank of each predicted clip's class."""
    if scores.ndim != 2 or not scores.shape[1]:
        raise DataError(f"scores have the shape {scores.shape}, but need one of (clips, classes)")
    right = labels[asked.places]
    unknown = [
        name for name, label in zip(asked.scored, right, strict=True) if label >= scores.shape[1]
    ]
    if unknown:
        raise DataError(
            f"the class of {len(unknown)} clips is not among the {scores.shape[1]} that have "
            f"scores: {named(unknown)}"
        )
    return rank(MatrixScores(scores), list(right[:, None]))
