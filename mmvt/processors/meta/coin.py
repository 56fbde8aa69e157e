"""COIN: instructional videos whose parts are labelled with 778 steps.

File of the public release: ``COIN.json``, of all splits.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mmvt.errors import DataError
from mmvt.processors.annotations import Record, read_mapping, refuse
from mmvt.processors.labels import Spans
from mmvt.processors.meta.listed import ListedMetaProcessor
from mmvt.processors.splits import SplitPaths, refuse_leak

logger = logging.getLogger(__name__)

SUBSETS = {"train": "training", "valid": "testing", "test": "testing"}


@dataclass(frozen=True, slots=True)
class Segmented:
    """A video with labelled parts.

    Attributes:
        video_id: id of the video.
        subset: ``training`` or ``testing``.
        spans: its parts; labels count from 1.
    """

    video_id: str
    subset: str
    spans: Spans


@dataclass(frozen=True)
class Annotation:
    """What a file holds.

    Attributes:
        videos: all videos, in the order of the file.
        labels: text of each label; label 1 comes first.
    """

    videos: list[Segmented]
    labels: list[str]


def read_annotation(path: Path) -> Annotation:
    """Return the videos and the labels of a file.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    whole = read_mapping(path, problems)
    database = whole.entry(whole.value("database"), "database")
    videos, names = [], dict[int, str]()
    for name in database.content:
        record = database.entry(database.content[name], f"video {name!r}")
        subset = record.text("subset")
        if subset not in ("training", "testing"):
            record.problem(f"the subset {subset!r} is neither training nor testing")
        parts = [
            record.entry(value, f"annotation {number}")
            for number, value in enumerate(record.listed("annotation"))
        ]
        labels = [_label(part, names) for part in parts]
        times = [part.span(part.value("segment"), "segment") for part in parts]
        spans = np.array(times, dtype=float).reshape(-1, 2)
        labelled = Spans(np.array(labels, dtype=int), spans[:, 0], spans[:, 1])
        videos.append(Segmented(record.as_video(name), subset, labelled))
    absent = sorted(set(range(1, max(names, default=0) + 1)) - set(names))
    if absent:
        problems.append(f"{path}: no part has the label {', '.join(map(str, absent[:10]))}")
    refuse(problems)
    return Annotation(videos, [names[label] for label in sorted(names)])


class COINMetaProcessor(ListedMetaProcessor):
    """Lists videos with labelled parts.

    Args:
        split: ``train``, ``valid`` or ``test``; the last two are the official test split.
        train_path: annotation with the training videos.
        val_path: annotation with the test videos.
        test_path: annotation for testing; ``val_path`` unless set.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path)
        files = {path: read_annotation(path) for path in paths.every()}
        own = paths.of(split)
        mine = _videos_of(files[own], split)
        for other, path in paths.apart_from(split).items():
            theirs = _videos_of(files[path], other)
            ids = (video.video_id for video in theirs)
            refuse_leak(own, (video.video_id for video in mine), f"{path} ({other})", ids)
            _warn_of_unseen(own, *((mine, theirs) if split == "train" else (theirs, mine)))
        if not mine:
            raise DataError(f"{own}: no video is of the subset {SUBSETS[split]!r}")
        super().__init__([(video.video_id, video.video_id) for video in mine])


def _videos_of(annotation: Annotation, split: str) -> list[Segmented]:
    return [video for video in annotation.videos if video.subset == SUBSETS[split]]


def _warn_of_unseen(path: Path, train: list[Segmented], test: list[Segmented]) -> None:
    seen, asked = ({n for v in part for n in v.spans.label.tolist()} for part in (train, test))
    if asked - seen:
        logger.warning(
            "%s: %d labels are tested but in no training video, such as %d",
            path,
            len(asked - seen),
            min(asked - seen),
        )


def _label(part: Record, names: dict[int, str]) -> int:
    label, text = part.whole("id"), part.text("label")
    if label < 1:
        part.problem(f"the label {label} is not at least 1")
    elif names.setdefault(label, text) != text:
        part.problem(f"the label {label} is {text!r}, but {names[label]!r} before")
    return label
