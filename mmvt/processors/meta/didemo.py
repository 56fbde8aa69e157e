"""DiDeMo: sentences about parts of 30-second videos, each placed by four people or more.

Files of the public release: ``train_data.json``, ``val_data.json`` and ``test_data.json``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmvt.processors.annotations import Record, check_unique, read_records, refuse
from mmvt.processors.meta.listed import ListedMetaProcessor, read_split
from mmvt.processors.splits import SplitPaths, warn_of_shared

CHUNK = 5.0
CHUNKS = 6


@dataclass(frozen=True, slots=True)
class Moment:
    """A sentence about a part of a video.

    Attributes:
        video_id: id of the video.
        text_id: id of the annotation.
        text: the sentence.
        times: (first, last) chunk of 5 seconds, from 0, by each annotator.
    """

    video_id: str
    text_id: str
    text: str
    times: list[tuple[int, int]]


def read_moments(path: Path) -> list[Moment]:
    """Return the sentences of a file.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    records = read_records(path, "annotation", problems)
    moments = [_moment(record) for record in records]
    keys = ((r.where, moment.text_id) for r, moment in zip(records, moments, strict=True))
    check_unique(keys, "annotation_id", problems)
    if not moments and not problems:
        problems.append(f"{path}: holds no annotation")
    refuse(problems)
    return moments


def paragraphs(path: Path) -> dict[str, str]:
    """Return all sentences of each video, joined in the order of the file.

    Raises:
        DataError: with all that is wrong.
    """
    sentences = defaultdict(list)
    for moment in read_moments(path):
        sentences[moment.video_id].append(moment.text)
    return {video: " ".join(texts) for video, texts in sentences.items()}


class DiDeMoMetaProcessor(ListedMetaProcessor):
    """Lists each sentence with its video.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: sentences for training.
        val_path: sentences for validation, and for testing without ``test_path``.
        test_path: sentences for testing.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        path, moments = read_split(split, SplitPaths(train_path, val_path, test_path), read_moments)
        warn_of_shared(path, ((moment.video_id, moment.text) for moment in moments))
        super().__init__([(moment.video_id, moment.text_id) for moment in moments])


class DiDeMoParagraphMetaProcessor(ListedMetaProcessor):
    """Lists each video with all its sentences joined, as in paragraph retrieval.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: sentences for training.
        val_path: sentences for validation, and for testing without ``test_path``.
        test_path: sentences for testing.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        _, moments = read_split(split, SplitPaths(train_path, val_path, test_path), read_moments)
        videos = dict.fromkeys(moment.video_id for moment in moments)
        super().__init__([(video, video) for video in videos])


def _moment(record: Record) -> Moment:
    chunks = record.whole("num_segments")
    times = []
    for time in record.listed("times"):
        if (
            isinstance(time, list)
            and [type(place) for place in time] == [int, int]
            and 0 <= time[0] <= time[1] < min(chunks, CHUNKS)
        ):
            times.append((time[0], time[1]))
        else:
            record.problem(f"times hold {time!r}, which is no part of {chunks} segments")
    text_id = str(record.whole("annotation_id"))
    return Moment(record.video("video"), text_id, record.text("description"), times)
