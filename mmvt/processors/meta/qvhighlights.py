"""QVHighlights: queries about 150-second videos, the windows that fit, and how well.

Files of the public release: ``highlight_{train,val,test}_release.jsonl``; the labels of the test
may be held back. A video is a clip of its own, named ``<YouTube id>_<start>_<end>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmvt.processors.annotations import Record, check_unique, read_json_lines, refuse
from mmvt.processors.meta.listed import ListedMetaProcessor, read_split
from mmvt.processors.splits import SplitPaths, warn_of_shared

MOST_SALIENT = 4


@dataclass(frozen=True, slots=True)
class Query:
    """A query about a video; the lists are empty where labels are held back.

    Attributes:
        video_id: id of the video.
        text_id: id of the query.
        text: the query.
        duration: length of the video in seconds.
        windows: (start, end) of each part that fits, in seconds.
        clip_ids: numbers of the 2-second clips in these parts, from 0.
        saliency: scores of each of them, from 0 (very bad) to 4 (very good).
    """

    video_id: str
    text_id: str
    text: str
    duration: float
    windows: list[tuple[float, float]]
    clip_ids: list[int]
    saliency: list[list[int]]


def read_queries(path: Path) -> list[Query]:
    """Return the queries of a file.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    records = read_json_lines(path, problems)
    queries = [_query(record) for record in records]
    keys = ((r.where, query.text_id) for r, query in zip(records, queries, strict=True))
    check_unique(keys, "qid", problems)
    if not queries and not problems:
        problems.append(f"{path}: holds no query")
    refuse(problems)
    return queries


class QVHighlightsMetaProcessor(ListedMetaProcessor):
    """Lists each query with its video.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: queries for training.
        val_path: queries for validation, and for testing without ``test_path``.
        test_path: queries for testing.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        path, queries = read_split(split, SplitPaths(train_path, val_path, test_path), read_queries)
        warn_of_shared(path, ((query.video_id, query.text) for query in queries))
        super().__init__([(query.video_id, query.text_id) for query in queries])


def _query(record: Record) -> Query:
    labels = ("relevant_windows", "relevant_clip_ids", "saliency_scores")
    held_back = not any(key in record.content for key in labels)
    duration, query = record.number("duration"), record.text("query")
    text_id, video = str(record.whole("qid")), record.video("vid")
    if held_back:
        return Query(video, text_id, query, duration, [], [], [])
    windows = record.spans("relevant_windows")
    if any(end > duration for _, end in windows):
        record.problem(f"a relevant window ends after the {duration:g} s of the video")
    clip_ids, saliency = record.listed("relevant_clip_ids"), record.listed("saliency_scores")
    if len(clip_ids) != len(saliency):
        record.problem(f"{len(saliency)} saliency_scores for {len(clip_ids)} clips")
    if not _are_whole(clip_ids):
        record.problem("relevant_clip_ids hold more than whole numbers of at least 0")
        clip_ids = []
    if not all(isinstance(scores, list) for scores in saliency) or not _are_alike(saliency):
        record.problem(f"saliency_scores hold more than equally long lists of 0 to {MOST_SALIENT}")
        saliency = []
    return Query(video, text_id, query, duration, windows, clip_ids, saliency)


def _are_whole(values: list[Any]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _are_alike(saliency: list[list[Any]]) -> bool:
    scores = [score for given in saliency for score in given]
    alike = len({len(given) for given in saliency}) <= 1
    return alike and _are_whole(scores) and max(scores, default=0) <= MOST_SALIENT
