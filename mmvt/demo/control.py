"""Controls of the demo: what a model may not be able to do, and what it must."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmvt.evaluators.base import Predictions
from mmvt.files import atomic_write_text

SAME = ("colour", "shape", "place")


@dataclass(frozen=True)
class GroupRecall:
    """R@1 within groups of videos.

    Attributes:
        recall: share of captions whose own video scores highest in its group, ties shared.
        chance: the same of a guess.
        captions: how many captions have a group of more than one video.
    """

    recall: float
    chance: float
    captions: int


def read_rows(captions: Path) -> list[dict[str, str]]:
    """Return the rows of the corpus's caption file."""
    with captions.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def shuffle_captions(captions: Path, out: Path, seed: int) -> None:
    """Write the caption file with the captions of the videos of training dealt out anew.

    A model that still finds held-out videos after such a training has not found them by what they
    show. Captions of validation and testing stay where they are.

    Args:
        captions: caption file of the corpus.
        out: where the shuffled one goes.
        seed: of the permutation.
    """
    rows = read_rows(captions)
    by_video: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_video[row["video"]].append(row)
    videos = [video for video, own in by_video.items() if own[0]["split"] == "train"]
    givers = np.random.default_rng(seed).permutation(videos)
    dealt = [
        {**row, "video": video}
        for video, giver in zip(videos, givers, strict=True)
        for row in by_video[str(giver)]
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([*dealt, *(row for row in rows if row["split"] != "train")])
    atomic_write_text(out, text.getvalue())


def motion_recall(
    predictions: Predictions, attributes: Mapping[str, tuple[str, ...]]
) -> GroupRecall:
    """Return R@1 among the videos that differ from one another in motion only.

    Args:
        predictions: of :class:`~mmvt.evaluators.predictors.retrieval.RetrievalPredictor`.
        attributes: everything but the motion of each video; equal ones make a group.
    """
    scores = predictions["text_vectors"] @ predictions["video_vectors"].T
    videos = [str(video) for video in predictions["scored_videos"]]
    owner = dict(zip(predictions["text_ids"], predictions["text_video"], strict=True))
    hits, chances = [], []
    for row, text in enumerate(predictions["scored_texts"]):
        own = str(predictions["video_ids"][owner[text]])
        group = [i for i, video in enumerate(videos) if attributes[video] == attributes[own]]
        if len(group) < 2:
            continue
        truth = scores[row, videos.index(own)]
        better, tied = (scores[row, group] > truth).sum(), (scores[row, group] == truth).sum()
        hits.append(float(better == 0) / float(tied))
        chances.append(1 / len(group))
    return GroupRecall(float(np.mean(hits)), float(np.mean(chances)), len(hits))
