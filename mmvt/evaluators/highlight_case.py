"""What predictions of moments and highlights hold.

Arrays of predictions of p of q queries; clips are the short ones that a video is cut into:

=======================  ===============  ==========================================================
array                    shape            meaning
=======================  ===============  ==========================================================
``ids``                  (q,) text        every query of the split
``durations``            (q,)             length of each one's video in seconds
``window_query``         (w,) int         place in ``ids`` of each window that fits a query
``windows``              (w, 2)           its start and end in seconds
``clip_query``           (c,) int         place in ``ids`` of each clip that was rated
``clips``                (c,) int         its number in the video, from 0; others have saliency 0
``saliency``             (c, raters) int  how well it fits, to each rater
``scored_ids``           (p,) text        the queries that were predicted
``scored_window_query``  (k,) int         place in ``scored_ids`` of each predicted window
``scored_windows``       (k, 2)           its start and end in seconds; the best one first
``scored_clip_query``    (s,) int         place in ``scored_ids`` of each clip, in order of time
``clip_scores``          (s,)             its score
=======================  ===============  ==========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num

from mmvt.errors import DataError
from mmvt.evaluators.arrays import Asked, named, read, read_numbers, read_whole
from mmvt.evaluators.base import Predictions


@dataclass(frozen=True)
class Query:
    """What people say of a query, and what is predicted.

    Attributes:
        truth: start and end in seconds of the windows that fit.
        saliency: how well each clip fits, to each rater.
        windows: predicted ones, best first; None = there are none of it.
        scores: predicted score of each clip; None = there are none of it.
    """

    truth: Float[np.ndarray, "windows 2"]
    saliency: Int[np.ndarray, "clips raters"]
    windows: Num[np.ndarray, "ours 2"] | None
    scores: Num[np.ndarray, " clips"] | None


def read_queries(
    predictions: Predictions, asked: Asked, clip_seconds: float
) -> tuple[list[Query], int]:
    """Return the queries of the split, and how many clips of the predicted ones have no score.

    A video is cut into whole clips, so that predictions may have one more, which is left out, or
    one less, for which 0 is taken; both as in the public evaluator of QVHighlights.

    Args:
        predictions: arrays as listed at the top of this module.
        asked: their ids.
        clip_seconds: length of a clip.

    Raises:
        DataError: an array is absent or does not fit; a query has no window; a number is NaN; a
            query has scores of more or fewer clips. Ids are named.
    """
    counts = (read_numbers(predictions, "durations", asked.ids) / clip_seconds).astype(int)
    truth = _windows(predictions, "", asked.ids)
    empty = [name for name, own in zip(asked.ids, truth, strict=True) if len(own) == 0]
    if empty:
        raise DataError(f"no window fits {len(empty)} queries: {named(empty)}")
    windows, scores, unscored = {}, {}, 0
    if "scored_windows" in predictions:
        ours = _windows(predictions, "scored_", asked.scored)
        windows = dict(zip(asked.places, ours, strict=True))
    if "clip_scores" in predictions:
        fitted, unscored = _clip_scores(predictions, asked, counts[asked.places].tolist())
        scores = dict(zip(asked.places, fitted, strict=True))
    saliency = _saliency(predictions, asked, counts.tolist())
    return [
        Query(truth[place].astype(float), saliency[place], windows.get(place), scores.get(place))
        for place in range(len(asked.ids))
    ], unscored


def _grouped(values: np.ndarray, owners: Int[np.ndarray, " rows"], count: int) -> list[np.ndarray]:
    """Return the rows of each owner, in their order."""
    order = np.argsort(owners, kind="stable")
    return np.split(values[order], np.cumsum(np.bincount(owners, minlength=count))[:-1])


def _windows(predictions: Predictions, prefix: str, ids: Sequence[str]) -> list[np.ndarray]:
    name = f"{prefix}windows"
    owners = read_whole(
        predictions, f"{prefix}window_query", len(read(predictions, name)), end=len(ids)
    )
    windows = read_numbers(predictions, name, [ids[owner] for owner in owners])
    if windows.ndim != 2 or windows.shape[1] != 2:
        raise DataError(f"{name} must hold a start and an end in each row")
    reversed_ = windows[:, 0] > windows[:, 1]
    if reversed_.any():
        bad = [ids[owner] for owner in owners[reversed_]]
        raise DataError(f"{name} end before they start: {named(list(dict.fromkeys(bad)))}")
    return _grouped(windows, owners, len(ids))


def _clip_scores(
    predictions: Predictions, asked: Asked, counts: Sequence[int]
) -> tuple[list[np.ndarray], int]:
    """Return a score a clip of each predicted query, and how many of them were not there."""
    rows = len(read(predictions, "clip_scores"))
    owners = read_whole(predictions, "scored_clip_query", rows, end=len(asked.places))
    scores = read_numbers(predictions, "clip_scores", [asked.scored[owner] for owner in owners])
    given = _grouped(scores, owners, len(asked.places))
    wrong = [
        f"{name} ({len(own)} for {count})"
        for name, own, count in zip(asked.scored, given, counts, strict=True)
        if abs(len(own) - count) > 1
    ]
    if wrong:
        raise DataError(f"clip_scores of {len(wrong)} queries do not fit: {named(wrong)}")
    lacking = [max(0, count - len(own)) for own, count in zip(given, counts, strict=True)]
    return [
        np.append(own[:count], np.zeros(lack))
        for own, count, lack in zip(given, counts, lacking, strict=True)
    ], sum(lacking)


def _saliency(predictions: Predictions, asked: Asked, counts: Sequence[int]) -> list[np.ndarray]:
    """Return the saliency of all clips of each query's video."""
    rated = read_whole(predictions, "saliency")
    if rated.ndim != 2:
        raise DataError(f"saliency has the shape {rated.shape}, but needs one of (clips, raters)")
    owners = read_whole(predictions, "clip_query", len(rated), end=len(asked.ids)).tolist()
    clips = read_whole(predictions, "clips", len(rated)).tolist()
    outside = [
        f"{asked.ids[owner]} (clip {clip} of {counts[owner]})"
        for owner, clip in zip(owners, clips, strict=True)
        if clip >= counts[owner]
    ]
    if outside:
        raise DataError(f"{len(outside)} clips are not in their video: {named(outside)}")
    every = [np.zeros((count, rated.shape[1]), np.int64) for count in counts]
    for owner, clip, scores in zip(owners, clips, rated, strict=True):
        every[owner][clip] = scores
    return every
