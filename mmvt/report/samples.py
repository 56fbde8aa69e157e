"""Single queries of an evaluation: what was asked, and the clips that came out on top."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mmvt.errors import DataError, MediaError
from mmvt.evaluators.retrieval_case import Direction, RetrievalCase
from mmvt.features.media import probe
from mmvt.features.thumbnail import thumbnail
from mmvt.ids import check_id

logger = logging.getLogger(__name__)

# the pictures of a video by its id, as ``data:`` addresses; none where there are none
Pictures = Callable[[str], Sequence[str]]

TOP = 5
_MOST_IN_HEAT_MAP = 150
_WIDTH = 240
_MOMENTS = (0.5, 0.1, 0.9)  # the large picture first, then one near each end


@dataclass(frozen=True)
class Candidate:
    """A video among those found for a caption.

    Attributes:
        video_id: its id.
        place: its place among all candidates, from 1; those tied share the best.
        score: its score.
        right: whether it is the one looked for.
        pictures: as ``data:`` addresses: the middle of the video, then its beginning and end.
    """

    video_id: str
    place: int
    score: float
    right: bool
    pictures: Sequence[str]


@dataclass(frozen=True)
class Sample:
    """A query.

    Attributes:
        text_id: id of the caption.
        caption: its words; its id where they are unknown.
        rank: expected rank of the right video.
        candidates: the best videos, then the right one where it is not among them.
    """

    text_id: str
    caption: str
    rank: float
    candidates: list[Candidate]


def pick_samples(
    case: RetrievalCase, direction: Direction, pictures: Pictures, count: int
) -> list[Sample]:
    """Return queries from the best found to the worst, at equal distances.

    Args:
        case: the predictions.
        direction: from text to video.
        pictures: gives the pictures of a video.
        count: number of queries, fewer where there are fewer.
    """
    ranks, asked = direction.ranks().expected(), direction.asked
    # ties by id, so that the order of the split does not matter
    ids = [case.text_ids[case.text_rows[row]] for row in asked]
    order = sorted(range(len(asked)), key=lambda number: (ranks[number], ids[number]))
    chosen = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return [
        _sample(case, direction, pictures, int(asked[order[n]]), float(ranks[order[n]]))
        for n in chosen
    ]


def _sample(
    case: RetrievalCase, direction: Direction, pictures: Pictures, row: int, rank: float
) -> Sample:
    scores = case.scores.rows(row, row + 1)[0]
    right = set(direction.right[row].tolist())
    best = np.argsort(-scores, kind="stable")[:TOP].tolist()
    if not right & set(best):
        best.append(max(right, key=lambda column: scores[column]))
    candidates = []
    for column in best:
        video_id = case.video_ids[case.video_columns[column]]
        place = 1 + int(np.count_nonzero(scores > scores[column]))
        candidates.append(
            Candidate(video_id, place, float(scores[column]), column in right, pictures(video_id))
        )
    text = case.text_rows[row]
    return Sample(case.text_ids[text], case.captions[text] or case.text_ids[text], rank, candidates)


def sampled_scores(case: RetrievalCase, direction: Direction) -> Float[np.ndarray, "texts videos"]:
    """Return scores of the first caption of each video, or of some videos spread over the split.

    Right pairs are on the diagonal. They are in alphabetical order of the captions, so that those
    alike stand together.
    """
    first: dict[int, int] = {}
    for row in direction.asked.tolist():
        for column in direction.right[row].tolist():
            first.setdefault(column, row)
    columns = sorted(
        first, key=lambda column: (case.captions[case.text_rows[first[column]]], column)
    )
    if len(columns) > _MOST_IN_HEAT_MAP:
        kept = np.linspace(0, len(columns) - 1, _MOST_IN_HEAT_MAP).round().astype(int)
        columns = [columns[number] for number in kept]
    rows = [case.scores.rows(first[c], first[c] + 1)[0, columns] for c in columns]
    return np.stack(rows)


def no_pictures(video_id: str) -> Sequence[str]:
    """Return no picture."""
    return ()


def pictures_from(folder: Path) -> Pictures:
    """Return what gives pictures of the videos of a folder, whose names are their ids.

    A video that is missing or cannot be read has no picture.
    """

    @cache
    def pictures(video_id: str) -> Sequence[str]:
        try:
            path = folder / check_id(video_id)
            seconds = probe(path).duration or 0.0
            images = [thumbnail(path, moment * seconds, _WIDTH) for moment in _MOMENTS]
        except (DataError, MediaError) as error:
            logger.warning("no picture: %s", error)
            return ()
        return tuple(f"data:image/jpeg;base64,{base64.b64encode(i).decode()}" for i in images)

    return pictures
