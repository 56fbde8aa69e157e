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
``window_scores``        (k,)             its score, where there is one: mAP goes by it
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

ByPlace = dict[int, np.ndarray]


@dataclass(frozen=True)
class Query:
    """What people say of a query, and what is predicted.

    Attributes:
        truth: start and end in seconds of the windows that fit.
        windows: predicted ones as they were given, the best one first; none where there is no
            prediction.
        window_scores: of each of them.
        saliency: how well each clip fits, to each rater.
        clip_scores: predicted score of each clip, or of one more or one less; None where there is
            no prediction.
    """

    truth: Float[np.ndarray, "windows 2"]
    windows: Num[np.ndarray, "ours 2"]
    window_scores: Num[np.ndarray, " ours"]
    saliency: Int[np.ndarray, "clips raters"]
    clip_scores: Num[np.ndarray, " given"] | None


def read_queries(predictions: Predictions, asked: Asked, clip_seconds: float) -> list[Query]:
    """Return the queries of the split.

    Args:
        predictions: arrays as listed at the top of this module.
        asked: their ids.
        clip_seconds: length of a clip.

    Raises:
        DataError: an array is absent or does not fit; a query has no window, or its video no whole
            clip; a number is NaN; a query has scores of more or fewer clips than its video may
            have. Ids are named.
    """
    seconds = read_numbers(predictions, "durations", asked.ids, finite=True)
    short = [name for name, own in zip(asked.ids, seconds, strict=True) if own < clip_seconds]
    if short:
        raise DataError(f"{len(short)} queries have a video shorter than a clip: {named(short)}")
    counts = (seconds / clip_seconds).astype(int).tolist()
    truth = _windows(predictions, "window_query", "windows", asked.ids)
    empty = [name for name, own in zip(asked.ids, truth, strict=True) if len(own) == 0]
    if empty:
        raise DataError(f"no window fits {len(empty)} queries: {named(empty)}")
    windows, window_scores = _predicted_windows(predictions, asked)
    saliency, clip_scores = _clips(predictions, asked, counts)
    return [
        Query(
            truth[place].astype(float),
            windows.get(place, np.zeros((0, 2))),
            window_scores.get(place, np.zeros(0)),
            saliency[place],
            clip_scores.get(place),
        )
        for place in range(len(asked.ids))
    ]


def _grouped(values: np.ndarray, owners: Int[np.ndarray, " rows"], count: int) -> list[np.ndarray]:
    """Return the rows of each owner, in their order."""
    if count == 0:
        return []
    order = np.argsort(owners, kind="stable")
    return np.split(values[order], np.cumsum(np.bincount(owners, minlength=count))[:-1])


def _windows(
    predictions: Predictions, owner: str, name: str, ids: Sequence[str]
) -> list[np.ndarray]:
    owners = read_whole(predictions, owner, len(read(predictions, name)), end=len(ids))
    whose = [ids[place] for place in owners]
    windows = read_numbers(predictions, name, whose, finite=True)
    if windows.ndim != 2 or windows.shape[1] != 2:
        raise DataError(f"{name} must hold a start and an end in each row")
    reversed_ = np.flatnonzero(windows[:, 0] > windows[:, 1])
    if len(reversed_):
        bad = dict.fromkeys(whose[row] for row in reversed_)
        raise DataError(f"{name} of {len(bad)} queries end before they start: {named(list(bad))}")
    return _grouped(windows, owners, len(ids))


def _predicted_windows(predictions: Predictions, asked: Asked) -> tuple[ByPlace, ByPlace]:
    """Return the predicted windows and their scores, by place of the query."""
    if "scored_windows" not in predictions:
        return {}, {}
    ids = asked.scored
    windows = _windows(predictions, "scored_window_query", "scored_windows", ids)
    # with equal scores the order of the file counts
    scores = np.zeros(sum(map(len, windows)))
    owners = read_whole(predictions, "scored_window_query")
    if "window_scores" in predictions:
        whose = [ids[place] for place in owners]
        scores = read_numbers(predictions, "window_scores", whose, finite=True)
    return (
        dict(zip(asked.places, windows, strict=True)),
        dict(zip(asked.places, _grouped(scores, owners, len(ids)), strict=True)),
    )


def _clips(
    predictions: Predictions, asked: Asked, counts: Sequence[int]
) -> tuple[list[np.ndarray], ByPlace]:
    """Return the saliency of all clips of each query's video, and the predicted scores by place."""
    if "clip_scores" not in predictions:
        return [np.zeros((count, 0), np.int64) for count in counts], {}
    ids = asked.scored
    owners = read_whole(
        predictions, "scored_clip_query", len(read(predictions, "clip_scores")), end=len(ids)
    )
    scores = read_numbers(predictions, "clip_scores", [ids[place] for place in owners], finite=True)
    given = _grouped(scores, owners, len(ids))
    wrong = [
        f"{asked.ids[place]} ({len(own)} for {counts[place]})"
        for place, own in zip(asked.places, given, strict=True)
        if len(own) == 0 or abs(len(own) - counts[place]) > 1
    ]
    if wrong:
        raise DataError(f"clip_scores of {len(wrong)} queries do not fit: {named(wrong)}")
    return _saliency(predictions, asked, counts), dict(zip(asked.places, given, strict=True))


def _saliency(predictions: Predictions, asked: Asked, counts: Sequence[int]) -> list[np.ndarray]:
    rated = read_whole(predictions, "saliency")
    if rated.ndim != 2 or rated.shape[1] == 0:
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
