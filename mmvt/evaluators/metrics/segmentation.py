"""Action segmentation: how many steps of long videos get their class, and how many parts.

A part is a run of steps of one class.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int, Int64
from typing_extensions import override

from mmvt.errors import DataError
from mmvt.evaluators.arrays import Asked, read_whole, split_rows
from mmvt.evaluators.base import Metric, Predictions

OVERLAPS = (0.10, 0.25, 0.50)

Classes = Int[np.ndarray, " steps"]


@dataclass(frozen=True)
class Part:
    """A run of steps of one class.

    Attributes:
        label: its class.
        start: first step.
        end: the step after its last.
    """

    label: int
    start: int
    end: int


class SegmentationMetric(Metric):
    """Frame accuracy over all steps of all videos, edit score and F1 of the parts.

    Arrays: ``ids``, ``frames`` (steps of each video) and ``targets`` (class of each step, video
    after video) of the split; ``scored_ids`` and ``classes`` (those of each step, in their order).
    A video without a prediction has every step wrong, and all its parts are missed.

    Source: MS-TCN (arXiv 1903.01945) §4 for edit score and F1.

    Args:
        background: the class of steps in which nothing is done; its parts are left out of edit
            score and F1, and accuracy is told without its steps as well. Null = all classes count
            alike.
        allow_missing: count videos without a prediction as wrong, instead of refusing.
    """

    def __init__(self, *, background: int | None = None, allow_missing: bool = False) -> None:
        self.background = background
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "video", allow_missing=self.allow_missing)
        frames = read_whole(predictions, "frames", len(asked.ids)).tolist()
        if not sum(frames):
            raise DataError("no video has a step to score")
        targets = split_rows(predictions, "targets", frames, "video")
        lengths = [frames[place] for place in asked.places]
        classes = dict(
            zip(asked.places, split_rows(predictions, "classes", lengths, "video"), strict=True)
        )
        tally = _Tally()
        for place, truth in enumerate(targets):
            tally.add(truth, classes.get(place), self.background)
        figures = tally.figures()
        if self.background is not None:
            figures["frame_accuracy_without_background"] = tally.accuracy_except(self.background)
        everything = np.concatenate(targets)
        return {
            "protocol": {
                **asked.protocol("action segmentation"),
                "frames": len(everything),
                "background": self.background,
                "background_share": _share(everything, self.background),
            },
            **figures,
            # of the best constant answer
            "chance": {"frame_accuracy": np.bincount(everything).max() / len(everything)},
        }


@dataclass
class _Tally:
    """Counts over videos.

    Attributes:
        right: steps with their class, by class.
        steps: all steps, by class.
        edits: edit score of each video.
        found: parts that are found, false and missed, by overlap.
    """

    right: dict[int, int] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    edits: list[float] = field(default_factory=list)
    found: dict[float, Int64[np.ndarray, "3"]] = field(
        default_factory=lambda: {overlap: np.zeros(3, np.int64) for overlap in OVERLAPS}
    )

    def add(self, truth: Classes, classes: Classes | None, background: int | None) -> None:
        """Count a video; None = it has no prediction."""
        equal = truth == classes if classes is not None else np.zeros(len(truth), bool)
        for label in np.unique(truth).tolist():
            here = truth == label
            self.right[label] = self.right.get(label, 0) + int(equal[here].sum())
            self.steps[label] = self.steps.get(label, 0) + int(here.sum())
        theirs = parts_of(truth, background)
        ours = [] if classes is None else parts_of(classes, background)
        self.edits.append(0.0 if classes is None else edit_score(ours, theirs))
        for overlap, counts in self.found.items():
            counts += match_parts(ours, theirs, overlap)

    def accuracy_except(self, background: int) -> float | None:
        """Return the accuracy over steps of other classes; None if there are none."""
        total = sum(count for label, count in self.steps.items() if label != background)
        right = sum(count for label, count in self.right.items() if label != background)
        return right / total if total else None

    def figures(self) -> dict[str, Any]:
        found = {f"F1@{100 * overlap:.0f}": counts for overlap, counts in self.found.items()}
        return {
            "frame_accuracy": sum(self.right.values()) / sum(self.steps.values()),
            "edit": math.fsum(self.edits) / len(self.edits),
            **{name: f1(*counts.tolist()) for name, counts in found.items()},
        }


def parts_of(classes: Classes, background: int | None = None) -> list[Part]:
    """Return the runs of equal classes, without those of ``background``."""
    edges = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(classes)]
    runs = [
        Part(int(classes[start]), start, end)
        for start, end in itertools.pairwise(edges)
        if end > start
    ]
    return [run for run in runs if run.label != background]


def edit_score(ours: Sequence[Part], theirs: Sequence[Part]) -> float:
    """Return 1 - edit distance of the classes in order / the larger number of parts; 1 if none."""
    longest = max(len(ours), len(theirs))
    if longest == 0:
        return 1.0
    row = list(range(len(theirs) + 1))
    for number, part in enumerate(ours, start=1):
        before, row = row, [number]
        for place, other in enumerate(theirs, start=1):
            changed = before[place - 1] + (part.label != other.label)
            row.append(min(before[place] + 1, row[-1] + 1, changed))
    return 1 - row[-1] / longest


def match_parts(
    ours: Sequence[Part], theirs: Sequence[Part], overlap: float
) -> tuple[int, int, int]:
    """Return how many parts are (found, false, missed).

    Each of ours looks, in order, at the one of theirs of its class that it overlaps most, and finds
    it if intersection over union is at least ``overlap`` and none before found it.
    """
    hits: set[int] = set()
    for part in ours:
        ious = [(_iou(part, other), -place) for place, other in enumerate(theirs)]
        most, place = max(ious, default=(0.0, 0))
        if most >= overlap and -place not in hits:
            hits.add(-place)
    return len(hits), len(ours) - len(hits), len(theirs) - len(hits)


def f1(found: int, false: int, missed: int) -> float:
    """Return the F1 of counts; 1 where there is nothing to find and nothing was said."""
    total = 2 * found + false + missed
    return 2 * found / total if total else 1.0


def _iou(part: Part, other: Part) -> float:
    if part.label != other.label:
        return 0.0
    shared = min(part.end, other.end) - max(part.start, other.start)
    return max(0.0, shared / (max(part.end, other.end) - min(part.start, other.start)))


def _share(classes: Classes, label: int | None) -> float | None:
    return None if label is None else float((classes == label).mean())
