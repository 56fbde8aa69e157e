"""Moments and highlights: the windows of a video that fit a query, and its best short clips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from typing_extensions import override

from mmvt.errors import DataError
from mmvt.evaluators.arrays import Asked
from mmvt.evaluators.base import Metric, Predictions
from mmvt.evaluators.highlight_case import Query, read_queries
from mmvt.evaluators.metrics.average_precision import (
    clip_precision,
    detection_precision,
    window_ious,
)

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
LENGTHS = {"full": (-1.0, math.inf), "short": (0, 10), "middle": (10, 30), "long": (30, math.inf)}
LEVELS = {"Fair": 2, "Good": 3, "VeryGood": 4}


class HighlightMetric(Metric):
    """R@1 and mAP of windows by IoU and by length, mAP and Hit@1 of short clips by saliency.

    Windows come best first, in the order they are given. R@1 is of the first one, with the true
    window that it overlaps most. Queries are short, middle or long (up to 10 s, to 30 s, and above)
    by the windows that fit them; those of other lengths are then left out. A short clip is relevant
    to a rater who gives it at least Fair (2), Good (3) or Very Good (4); mAP is the mean over
    raters, and Hit@1 the share of queries whose best clip is relevant to one.

    Arrays: those of :mod:`mmvt.evaluators.highlight_case`; either the windows or the scores of
    clips may be absent.

    Source: QVHighlights (arXiv 2107.09609) §5, and its public evaluator.

    Args:
        clip_seconds: length of a short clip.
        max_windows: predicted windows that count for mAP, the first ones.
        ties: ``original`` = the first of clips with the highest score is the best one, or
            ``expectation``: the mean over them.
        allow_missing: count queries without a prediction as misses, instead of refusing.
    """

    def __init__(
        self,
        *,
        clip_seconds: float = 2.0,
        max_windows: int = 10,
        ties: Literal["original", "expectation"] = "original",
        allow_missing: bool = False,
    ) -> None:
        self.clip_seconds, self.max_windows = clip_seconds, max_windows
        self.ties = ties
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "query", allow_missing=self.allow_missing)
        queries, unscored = read_queries(predictions, asked, self.clip_seconds)
        results: dict[str, Any] = {
            "protocol": {
                **asked.protocol("moments and highlights"),
                "windows": sum(len(query.truth) for query in queries),
                "max_windows": self.max_windows,
                "clips_without_score": unscored,
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
            ours = np.zeros((0, 2)) if query.windows is None else query.windows
            ious = window_ious(ours, truth)
            first.append(ious[0].max() if len(ours) else 0.0)
            precision.append(detection_precision(ious[: self.max_windows], THRESHOLDS))
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
            relevant = query.saliency >= least
            if query.scores is None:
                precision.append(0.0)
                hits.append(0.0)
                continue
            precision.append(float(np.mean([clip_precision(r, query.scores) for r in relevant.T])))
            best = np.flatnonzero(query.scores == query.scores.max())
            best = best[:1] if self.ties == "original" else best
            hits.append(float(relevant[best].any(axis=1).mean()))
        return {"mAP": math.fsum(precision) / len(hits), "Hit@1": math.fsum(hits) / len(hits)}


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
