"""What a retrieval prediction holds: the split that was asked for, and scores of what was found.

Arrays of the predictions of T captions of N videos, of which t and n were predicted:

=================  ===========  ================================================================
array              shape        meaning
=================  ===========  ================================================================
``text_ids``       (T,) text    every caption of the split
``video_ids``      (N,) text    every video of the split
``text_video``     (T,) int     place of a caption's video in ``video_ids``
``same_caption``   (T,) int     place of the first caption with the same words
``captions``       (T,) text    the words, for reading only; long ones are cut
``scored_texts``   (t,) text    the captions that were predicted
``scored_videos``  (n,) text    the videos that were predicted
``text_vectors``   (t, D)       their vectors, whose dot products are the scores
``video_vectors``  (n, D)
``scores``         (t, n)       instead of vectors: the scores themselves
=================  ===========  ================================================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64

from mmvt.errors import DataError
from mmvt.evaluators.arrays import named, places, read, refuse_repeated
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.ranks import MatrixScores, Ranks, Scores, VectorScores, chance, rank

EqualCaptions = Literal["own", "any"]
_SPLIT_ARRAYS = ("text_ids", "video_ids", "text_video", "same_caption", "captions")


@dataclass(frozen=True)
class Direction:
    """Queries of one kind against candidates of the other.

    Attributes:
        scores: of the queries and candidates that were predicted.
        right: columns of the right candidates of each row of ``scores``; none where there is
            nothing to find.
        right_counts: number of right candidates of every query, predicted or not.
        candidates: number of candidates, predicted or not.
    """

    scores: Scores
    right: Sequence[Int64[np.ndarray, " _right"]]
    right_counts: Sequence[int]
    candidates: int

    @property
    def asked(self) -> Int64[np.ndarray, " asked"]:
        """The rows of ``scores`` that have something to find."""
        return np.array([row for row, columns in enumerate(self.right) if len(columns)], np.int64)

    @property
    def misses(self) -> int:
        """How many queries were not predicted, or none of their right candidates."""
        return len(self.right_counts) - len(self.asked)

    def ranks(self) -> Ranks:
        """Return the ranks of the queries ``asked``."""
        return rank(self.scores, self.right).only(self.asked)

    def chance(self) -> Ranks:
        """Return the ranks of all queries if all scores were equal."""
        return chance(self.right_counts, self.candidates)


@dataclass(frozen=True)
class RetrievalCase:
    """Checked retrieval predictions.

    Attributes:
        text_ids: every caption of the split.
        video_ids: every video of the split.
        text_video: place of each caption's video in ``video_ids``.
        same_caption: place of the first caption with the same words.
        captions: the words, for reading only.
        text_rows: the captions that were predicted, as places in ``text_ids``.
        video_columns: the videos that were predicted, as places in ``video_ids``.
        scores: of the predicted captions against the predicted videos.
    """

    text_ids: list[str]
    video_ids: list[str]
    text_video: list[int]
    same_caption: list[int]
    captions: list[str]
    text_rows: list[int]
    video_columns: list[int]
    scores: Scores

    @classmethod
    def of(cls, predictions: Predictions, *, allow_missing: bool = False) -> RetrievalCase:
        """Return predictions as they were written, checked.

        Args:
            predictions: arrays as listed at the top of this module.
            allow_missing: captions and videos of the split may be without a prediction.

        Raises:
            DataError: an array is missing or does not fit; an id is there twice, missing or
                unexpected; a number is NaN. Ids are named.
        """
        text_ids, video_ids, text_video, same_caption, captions = _split(predictions)
        text_rows = places(predictions, "caption", "scored_texts", text_ids, allow_missing)
        video_columns = places(predictions, "video", "scored_videos", video_ids, allow_missing)
        if not text_rows or not video_columns:
            raise DataError("no caption or no video of the split has a prediction")
        scores = _scores(predictions)
        return cls(
            text_ids,
            video_ids,
            text_video,
            same_caption,
            captions,
            text_rows,
            video_columns,
            scores,
        )

    def missing(self) -> tuple[list[str], list[str]]:
        """Return the ids of the captions and of the videos without a prediction."""
        texts, videos = set(self.text_rows), set(self.video_columns)
        return (
            [name for place, name in enumerate(self.text_ids) if place not in texts],
            [name for place, name in enumerate(self.video_ids) if place not in videos],
        )

    def text_to_video(self, equal_captions: EqualCaptions = "own") -> Direction:
        """Return the captions as queries; their own video is right, or any with that caption."""
        right = [[video] for video in self.text_video]
        if equal_captions == "any":
            owners = _grouped(zip(self.same_caption, self.text_video, strict=True))
            right = [owners[first] for first in self.same_caption]
        columns = _found(right, self.text_rows, self.video_columns)
        return Direction(self.scores, columns, [len(r) for r in right], len(self.video_ids))

    def video_to_text(self, equal_captions: EqualCaptions = "own") -> Direction:
        """Return the videos as queries; any of their captions is right, or any equal to one."""
        texts = range(len(self.text_ids))
        own = _grouped(zip(self.text_video, texts, strict=True))
        if equal_captions == "any":
            equal = _grouped(zip(self.same_caption, texts, strict=True))
            own = {
                video: sorted({t for mine in own[video] for t in equal[self.same_caption[mine]]})
                for video in own
            }
        right = [own.get(video, []) for video in range(len(self.video_ids))]
        columns = _found(right, self.video_columns, self.text_rows)
        counts = [len(r) for r in right if r]  # a video without captions only distracts
        return Direction(self.scores.transposed(), columns, counts, len(self.text_ids))


def _grouped(pairs: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Return the second numbers of the pairs by the first, each once."""
    groups: dict[int, dict[int, None]] = defaultdict(dict)
    for key, value in pairs:
        groups[key][value] = None
    return {key: list(values) for key, values in groups.items()}


def _found(
    right: Sequence[Sequence[int]], queries: Sequence[int], candidates: Sequence[int]
) -> list[Int64[np.ndarray, " _right"]]:
    """Return the columns of the right candidates of each predicted query."""
    column = {candidate: number for number, candidate in enumerate(candidates)}
    return [
        np.array([column[place] for place in right[query] if place in column], np.int64)
        for query in queries
    ]


def _split(
    predictions: Predictions,
) -> tuple[list[str], list[str], list[int], list[int], list[str]]:
    """Return what was asked for, in the order of ``_SPLIT_ARRAYS``, checked."""
    arrays = {name: read(predictions, name) for name in _SPLIT_ARRAYS}
    texts, videos = len(arrays["text_ids"]), len(arrays["video_ids"])
    if texts == 0:
        raise DataError("the predictions are of a split without captions")
    for name in ("text_ids", "video_ids"):
        refuse_repeated(name, arrays[name].tolist())
    for name in ("text_video", "same_caption", "captions"):
        if len(arrays[name]) != texts:
            raise DataError(f"{name} has {len(arrays[name])} rows for {texts} captions")
    for name, end in (("text_video", videos), ("same_caption", texts)):
        places = arrays[name]
        if places.dtype.kind != "i" or not ((places >= 0) & (places < end)).all():
            raise DataError(f"{name} must hold whole numbers from 0 to {end - 1}")
    text_ids, video_ids, text_video, same_caption, captions = (
        arrays[name].tolist() for name in _SPLIT_ARRAYS
    )
    return text_ids, video_ids, text_video, same_caption, captions


def _scores(predictions: Predictions) -> Scores:
    texts, videos = (read(predictions, f"scored_{kind}").tolist() for kind in ("texts", "videos"))
    if "scores" in predictions:
        return _matrix_scores(predictions["scores"], texts, videos)
    text = _vectors(predictions, "text", texts)
    video = _vectors(predictions, "video", videos)
    if text.shape[1:] != video.shape[1:]:
        raise DataError(
            f"text_vectors are {text.shape[1]} wide, but video_vectors {video.shape[1]}"
        )
    return VectorScores(text, video)


def _matrix_scores(matrix: np.ndarray, texts: list[str], videos: list[str]) -> Scores:
    if matrix.shape != (len(texts), len(videos)):
        raise DataError(
            f"scores have the shape {matrix.shape} for {len(texts)} captions and {len(videos)} "
            "videos"
        )
    rows, columns = np.nonzero(np.isnan(matrix))
    if len(rows):
        bad = [f"{texts[r]} with {videos[c]}" for r, c in zip(rows, columns, strict=True)]
        raise DataError(f"{len(bad)} scores are NaN: {named(bad)}")
    return MatrixScores(matrix)


def _vectors(predictions: Predictions, kind: str, ids: list[str]) -> np.ndarray:
    vectors = read(predictions, f"{kind}_vectors")
    if vectors.ndim != 2 or len(vectors) != len(ids):
        raise DataError(f"{kind}_vectors have the shape {vectors.shape} for {len(ids)} ids")
    if not np.isfinite(vectors).all():
        bad = [ids[place] for place in np.nonzero(~np.isfinite(vectors).all(axis=1))[0]]
        raise DataError(f"the vectors of {len(bad)} {kind}s are not finite: {named(bad)}")
    return vectors
