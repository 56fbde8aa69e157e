"""Multiple choice: how often the right one of several answers is chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int64, Num
from typing_extensions import override

from mmvt.errors import DataError
from mmvt.evaluators.arrays import Asked, named, read, read_numbers, read_whole
from mmvt.evaluators.base import Metric, Predictions

Ties = Literal["expectation", "original"]
# what a model chooses without the video, and without video and question
BASELINES = ("question_only", "answer_only")


class MultipleChoiceMetric(Metric):
    """Accuracy over all questions, and over the questions of each group where there are groups.

    Arrays: ``ids``, ``answers`` (place of the right choice, from 0) and, where questions are of
    kinds, ``groups`` (questions,) or (questions, levels) of the split; ``scored_ids`` and either
    ``scores`` (predicted, choices), -inf where a question has fewer choices, or ``choices``. Beside
    them ``question_only_scores`` and ``answer_only_scores``, where a model was also asked without
    the video, and without video and question.

    Args:
        ties: ``expectation`` (a right choice among t with the highest score counts 1 / t), or
            ``original``: the first of them is chosen.
        allow_missing: count questions without a prediction as wrong, instead of refusing.
    """

    def __init__(
        self,
        *,
        ties: Literal["expectation", "original"] = "expectation",
        allow_missing: bool = False,
    ) -> None:
        self.ties: Ties = ties
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "question", allow_missing=self.allow_missing)
        answers = read_whole(predictions, "answers", len(asked.ids))
        right = answers[asked.places]
        groups = read(predictions, "groups", len(asked.ids)) if "groups" in predictions else None

        def figures(counted: Float64[np.ndarray, " predicted"]) -> dict[str, Any]:
            credit = np.zeros(len(asked.ids))
            credit[asked.places] = counted
            return accuracies(credit, groups)

        def credits_of(name: str) -> Float64[np.ndarray, " predicted"]:
            scores = read_numbers(predictions, name, asked.scored)
            _refuse_no_choice(asked, scores, right)
            return credit_of_scores(scores, right, self.ties)

        results: dict[str, Any] = {}
        if "scores" in predictions:
            results |= figures(credits_of("scores"))
            results["chance"] = _chance(predictions["scores"])
        else:
            choices = read_whole(predictions, "choices", len(asked.places))
            results |= figures((choices == right).astype(float))
        results["questions"] = len(asked.ids)
        for name in BASELINES:
            if f"{name}_scores" in predictions:
                results[name] = figures(credits_of(f"{name}_scores"))
        return {"protocol": {**asked.protocol("multiple choice"), "ties": self.ties}, **results}


def credit_of_scores(
    scores: Num[np.ndarray, "questions choices"],
    right: Int64[np.ndarray, " questions"],
    ties: Ties = "expectation",
) -> Float64[np.ndarray, " questions"]:
    """Return the chance of each question that its right choice is taken.

    Args:
        scores: of each choice.
        right: place of the right choice.
        ties: as of :class:`MultipleChoiceMetric`.
    """
    if ties == "original":
        return (scores.argmax(axis=1) == right).astype(float)
    best = scores == scores.max(axis=1, keepdims=True)
    return best[np.arange(len(right)), right] / best.sum(axis=1)


def _refuse_no_choice(asked: Asked, scores: np.ndarray, right: np.ndarray) -> None:
    if scores.ndim != 2:
        raise DataError(
            f"scores have the shape {scores.shape}, but need one of (questions, choices)"
        )
    inside = right < scores.shape[1]
    shown = inside & ~np.isneginf(scores[np.arange(len(right)), np.where(inside, right, 0)])
    if not shown.all():
        bad = [asked.scored[row] for row in np.nonzero(~shown)[0]]
        raise DataError(
            f"the right answer of {len(bad)} questions is not among the choices: {named(bad)}"
        )


def _chance(scores: Num[np.ndarray, "questions choices"]) -> float:
    """Return the accuracy of random choices, over the questions that were predicted."""
    return _mean(1 / (~np.isneginf(scores)).sum(axis=1)) if len(scores) else 0.0


def accuracies(
    credit: Float64[np.ndarray, " questions"],
    groups: np.ndarray | None,
    further: Mapping[str, Float64[np.ndarray, " questions"]] | None = None,
) -> dict[str, Any]:
    """Return the accuracy over all questions, and of each of their groups if there are any.

    Args:
        credit: what each question counts, from 0 to 1.
        groups: (questions,) or (questions, levels) names.
        further: other figures of each question, of which there are means as well.
    """
    told = {"accuracy": credit, **(further or {})}
    results: dict[str, Any] = {name: _mean(values) for name, values in told.items()}
    if groups is not None:
        results["groups"] = {
            str(name): {
                **{figure: _mean(values[level == name]) for figure, values in told.items()},
                "questions": int((level == name).sum()),
            }
            for level in groups.reshape(len(credit), -1).T
            for name in np.unique(level)
        }
    return results


def official_names(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return accuracies as those of MSR-VTT-QA and MSVD-QA are published: in percent, rounded.

    Source: ALPRO (arXiv 2112.09583), its code.

    Args:
        results: with ``questions`` and, where questions are of kinds, ``groups``.
    """
    groups = results.get("groups", {})
    return {
        "ratios": {
            f"{name}_ratio": [
                round(100 * own["questions"] / results["questions"], 2),
                own["questions"],
            ]
            for name, own in groups.items()
        },
        "overall_acc": round(100 * results["accuracy"], 2),
        **{f"{name}_acc": round(100 * own["accuracy"], 2) for name, own in groups.items()},
    }


def _mean(values: Float64[np.ndarray, " values"]) -> float:
    return math.fsum(values) / len(values)
