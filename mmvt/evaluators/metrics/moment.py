"""Moment retrieval: where in its video a sentence is found, among segments that are ranked."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Int64
from typing_extensions import override

from mmvt.errors import DataError
from mmvt.evaluators.arrays import Asked, named, read_numbers, read_whole
from mmvt.evaluators.base import Metric, Predictions

AGREEING = 3  # annotators that count, those nearest to the prediction
RANKS = (1, 5)

Segment = Int[np.ndarray, "2"]
Segments = Int[np.ndarray, "_segments 2"]


class MomentMetric(Metric):
    """Rank@1, Rank@5 and mean IoU against several annotators.

    The rank of a sentence is the mean of the three smallest ranks of its annotators' segments; one
    that is not ranked does not count, and a sentence without any is not found. Its IoU is the mean
    of the three largest ones of the first segment with the annotators'.

    Arrays: ``ids``, ``annotated`` (place in ``ids``) and ``moments`` (first and last chunk) of each
    annotation of the split; ``segments`` (segments, 2) to choose from; ``scored_ids`` and
    ``scores`` (predicted, segments), -inf for segments that are not in the video.

    Source: DiDeMo (arXiv 1708.01641) §5.

    Args:
        ties: what comes first of segments with equal scores: a ``random`` one, drawn by the
            sentence's id, or the first, as in the ``original``.
        allow_missing: count sentences without a prediction as not found, instead of refusing.
    """

    def __init__(
        self, *, ties: Literal["random", "original"] = "random", allow_missing: bool = False
    ) -> None:
        self.ties = ties
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "sentence", allow_missing=self.allow_missing)
        segments = _segments(predictions, "segments")
        truths = _truths(predictions, asked)
        scores = read_numbers(predictions, "scores", asked.scored)
        if scores.shape[1:] != (len(segments),):
            raise DataError(f"scores have the shape {scores.shape} for {len(segments)} segments")
        ranks, ious = np.full(len(asked.ids), np.inf), np.zeros(len(asked.ids))
        for row, place in enumerate(asked.places):
            ranked = segments[self._order(asked.ids[place], scores[row])]
            ranks[place], ious[place] = moment_rank(ranked, truths[place])
        return {
            "protocol": {
                **asked.protocol("moment retrieval"),
                "segments": len(segments),
                "annotations": sum(map(len, truths)),
                "annotators_counted": AGREEING,
                "ties": self.ties,
            },
            **{f"Rank@{k}": float((ranks <= k).mean()) for k in RANKS},
            "mIoU": math.fsum(ious) / len(ious),
        }

    def _order(self, name: str, scores: Float[np.ndarray, " segments"]) -> Int64[np.ndarray, " n"]:
        """Return the segments that are in the video, best first."""
        among_equal = np.arange(len(scores))
        if self.ties == "random":
            digest = hashlib.sha256(name.encode(errors="surrogatepass")).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
            among_equal = rng.permutation(len(scores))
        return np.lexsort((among_equal, -scores))[: np.count_nonzero(~np.isneginf(scores))]


def moment_rank(ranked: Segments, truth: Segments) -> tuple[float, float]:
    """Return (rank, IoU) of a sentence; the rank is infinite if no annotator's segment is ranked.

    Args:
        ranked: (first, last) chunk of each segment, best first.
        truth: those of each annotator.
    """
    if len(ranked) == 0:
        return math.inf, 0.0
    equal = (ranked[:, None] == truth).all(axis=2)
    found = np.sort(equal.argmax(axis=0)[equal.any(axis=0)])[:AGREEING] + 1
    best = sorted((chunk_iou(ranked[0], other) for other in truth), reverse=True)[:AGREEING]
    rank = math.fsum(found) / len(found) if len(found) else math.inf
    return rank, math.fsum(best) / len(best)


def chunk_iou(one: Segment, other: Segment) -> float:
    """Return the intersection over union of two segments, given as first and last chunk."""
    shared = min(one[1], other[1]) - max(one[0], other[0]) + 1
    return max(0.0, float(shared / (max(one[1], other[1]) - min(one[0], other[0]) + 1)))


def _segments(predictions: Predictions, name: str) -> Segments:
    segments = read_whole(predictions, name)
    if segments.ndim != 2 or segments.shape[1] != 2 or (segments[:, 0] > segments[:, 1]).any():
        raise DataError(f"{name} must hold a first and a last chunk in each row")
    return segments


def _truths(predictions: Predictions, asked: Asked) -> list[Segments]:
    """Return the annotators' segments of each sentence."""
    moments = _segments(predictions, "moments")
    annotated = read_whole(predictions, "annotated", len(moments), end=len(asked.ids))
    truths = [moments[annotated == place] for place in range(len(asked.ids))]
    silent = [asked.ids[place] for place, truth in enumerate(truths) if len(truth) == 0]
    if silent:
        raise DataError(f"{len(silent)} sentences have no annotation: {named(silent)}")
    return truths
