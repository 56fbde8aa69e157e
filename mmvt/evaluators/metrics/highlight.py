"""Moments and highlights: the windows of a video that fit a query, and its best short clips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from typing_extensions import override

from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.arrays import Asked
from mmvt.evaluators.base import Metric, Predictions
from mmvt.evaluators.highlight_case import Query, read_queries
from mmvt.evaluators.metrics.average_precision import (
    clip_precision,
    detection_precision,
    window_ious,
)

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
LENGTHS = {
    "full": (-1.0, math.inf),
    "short": (0.0, 10.0),
    "middle": (10.0, 30.0),
    "long": (30.0, math.inf),
}
LEVELS = {"Fair": 2, "Good": 3, "VeryGood": 4}


class HighlightMetric(Metric):
    """R@1 and mAP of windows by IoU and by length, mAP and Hit@1 of short clips by saliency.

    R@1 is of the first window that is given, with the true one that it overlaps most; mAP is of the
    first ``max_windows``, in the order of their scores where they have any. Queries are short,
    middle or long (up to 10 s, to 30 s, and above) by the windows that fit them; those of other
    lengths are then left out. A short clip is relevant to a rater who gives it at least Fair (2),
    Good (3) or Very Good (4); mAP is the mean over raters, and Hit@1 the share of queries whose
    best clip is relevant to one.

    A video is cut into whole clips, so that predictions may have one more, which is relevant to
    none and left out of mAP, or one less, which has the score 0 in mAP and is not the best.

    Arrays: those of :mod:`mmvt.evaluators.highlight_case`; either the windows or the scores of
    clips may be absent.

    Source: QVHighlights (arXiv 2107.09609) §5, and its public evaluator.

    Args:
        clip_seconds: length of a short clip.
        max_windows: predicted windows that count for mAP, the first ones.
        ties: ``expectation`` = Hit@1 is the mean over clips with the highest score, or
            ``original``: the first of them is the best one.
        allow_missing: count queries without a prediction as misses, instead of refusing.
    """

    def __init__(
        self,
        *,
        clip_seconds: float = 2.0,
        max_windows: int = 10,
        ties: Literal["expectation", "original"] = "expectation",
        allow_missing: bool = False,
    ) -> None:
        if clip_seconds <= 0 or max_windows < 1:
            raise ConfigError(
                f"clip_seconds is {clip_seconds:g} and max_windows {max_windows}, but both must be "
                "above 0"
            )
        self.clip_seconds, self.max_windows = clip_seconds, max_windows
        self.ties = ties
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "query", allow_missing=self.allow_missing)
        queries = read_queries(predictions, asked, self.clip_seconds)
        results: dict[str, Any] = {
            "protocol": {
                **asked.protocol("moments and highlights"),
                "windows": sum(len(query.truth) for query in queries),
                "max_windows": self.max_windows,
                "clips_without_score": sum(map(_unscored, queries)),
                "ties": self.ties,
            }
        }
        if "scored_windows" in predictions:
            results["windows"] = {
                name: self._window_figures(queries, *span) for name, span in LENGTHS.items()
            }
        if "clip_scores" in predictions:
            results["clips"] = {
                name: self._clip_figures(queries, least) for name, least in LEVELS.items()
            }
        if len(results) == 1:
            raise DataError("the predictions have neither scored_windows nor clip_scores")
        return results

    def _window_figures(self, queries: Sequence[Query], above: float, to: float) -> dict[str, Any]:
        first, precision = [], []
        for query in queries:
            length = query.truth[:, 1] - query.truth[:, 0]
            truth = query.truth[(length > above) & (length <= to)]
            if len(truth) == 0:
                continue
            ious = window_ious(query.windows, truth)
            first.append(ious[0].max() if len(ious) else 0.0)
            best_first = np.argsort(-query.window_scores[: self.max_windows], kind="stable")
            precision.append(detection_precision(ious[best_first], THRESHOLDS))
        if not first:
            return {"queries": 0}
        by_threshold = np.array(precision).mean(axis=0)
        return {
            "queries": len(first),
            **{f"R1@{t:g}": float(np.mean(np.array(first) >= t)) for t in THRESHOLDS},
            **{f"mAP@{t:g}": float(m) for t, m in zip(THRESHOLDS, by_threshold, strict=True)},
            "mAP": float(by_threshold.mean()),
        }

    def _clip_figures(self, queries: Sequence[Query], least: int) -> dict[str, float]:
        precision, hits = [], []
        for query in queries:
            if query.clip_scores is None:
                continue
            relevant, scores = query.saliency >= least, np.zeros(len(query.saliency))
            known = min(len(scores), len(query.clip_scores))
            scores[:known] = query.clip_scores[:known]
            precision.append(float(np.mean([clip_precision(own, scores) for own in relevant.T])))
            best = np.flatnonzero(query.clip_scores == query.clip_scores.max())
            best = best[:1] if self.ties == "original" else best
            to_anyone = np.flatnonzero(relevant.any(axis=1))
            hits.append(float(np.isin(best, to_anyone).mean()))
        # a query without a prediction adds nothing
        return {
            "mAP": math.fsum(precision) / len(queries),
            "Hit@1": math.fsum(hits) / len(queries),
        }


def _unscored(query: Query) -> int:
    given = len(query.saliency) if query.clip_scores is None else len(query.clip_scores)
    return max(0, len(query.saliency) - given)


def official_names(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures under the names of the public evaluator: percent, to two decimals."""
    figures: dict[str, float] = {}
    windows, clips = results.get("windows", {}), results.get("clips", {})
    for name, own in windows.items():
        if not own["queries"]:
            continue
        if name == "full":
            shown = {"R1@0.5": "R1@0.5", "R1@0.7": "R1@0.7", "mAP": "mAP"}
            shown |= {"mAP@0.5": "mAP@0.5", "mAP@0.75": "mAP@0.75"}
        else:
            shown = {"mAP": "mAP"}
        figures |= {f"MR-{name}-{theirs}": own[ours] for ours, theirs in shown.items()}
    for name, own in clips.items():
        figures |= {f"HL-min-{name}-mAP": own["mAP"], f"HL-min-{name}-Hit1": own["Hit@1"]}
    return {name: round(100 * value, 2) for name, value in figures.items()}
