"""Captions that a model wrote, beside what people said of the same clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmvt.evaluators.base import Predictions
from mmvt.report.samples import Pictures

_MOST_REFERENCES = 3


@dataclass(frozen=True)
class Written:
    """A clip and what is said of it.

    Attributes:
        name: id of the clip.
        text: what the model wrote.
        references: what people wrote, a few of them.
        pictures: as ``data:`` addresses: the middle of the video, then its beginning and end.
    """

    name: str
    text: str
    references: list[str]
    pictures: Sequence[str]


def pick_written(predictions: Predictions, pictures: Pictures, count: int) -> list[Written]:
    """Return captions of clips that are spread evenly over the split.

    Args:
        predictions: of :class:`~mmvt.evaluators.predictors.caption.CaptionPredictor`.
        pictures: gives the pictures of a video.
        count: number of clips, fewer where there are fewer.
    """
    references: dict[str, list[str]] = defaultdict(list)
    pairs = zip(predictions["reference_ids"], predictions["references"], strict=True)
    for name, text in pairs:
        references[str(name)].append(str(text))
    names, texts = predictions["scored_ids"], predictions["hypotheses"]
    places = np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int)
    return [
        Written(
            str(names[place]),
            str(texts[place]),
            references[str(names[place])][:_MOST_REFERENCES],
            pictures(_video_of(str(names[place]))),
        )
        for place in places
    ]


def _video_of(name: str) -> str:
    """Return the id of the video that a clip is of: ``id``, or ``id@3-12.5``."""
    video, at, seconds = name.rpartition("@")
    start, _, end = seconds.partition("-")
    numbers = (start.replace(".", ""), end.replace(".", ""))
    return video if at and all(number.isdigit() for number in numbers) else name
