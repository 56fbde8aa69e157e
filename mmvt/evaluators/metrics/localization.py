"""Step localization: how many steps of tasks are found in the second that is said."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int
from typing_extensions import override

from mmvt.errors import DataError
from mmvt.evaluators.arrays import Asked, read, read_whole, split_rows
from mmvt.evaluators.base import Metric, Predictions

Steps = Int[np.ndarray, "seconds steps"] | Bool[np.ndarray, "seconds steps"]


@dataclass(frozen=True)
class Localized:
    """A video of a task.

    Attributes:
        task: the task.
        truth: which steps are done in each second.
        said: which are said to be; None = there is no prediction.
    """

    task: str
    truth: Steps
    said: Steps | None


class StepRecallMetric(Metric):
    """Recall of the steps of each task, and its mean over tasks.

    A step counts where the one second that is said for it lies in one of its parts. Recall of a
    task is the number of these over the number of steps present, over all its videos.

    Arrays: ``ids``, ``tasks``, ``frames`` (seconds of each video), ``steps`` (of its task) and
    ``targets`` (seconds × steps of each video, one after another, 1 where a step is done) of the
    split; ``scored_ids`` and ``assigned`` (like ``targets``, 1 in the second that is said).

    Source: CrossTask (arXiv 1903.08225) §5.

    Args:
        rule: what a video without a prediction does where ``allow_missing`` lets it: ``misses``
            all its steps, or is left out as if it did not exist, as the ``original`` has it.
        allow_missing: accept videos without a prediction, instead of refusing.
    """

    def __init__(
        self,
        *,
        rule: Literal["misses", "original"] = "misses",
        allow_missing: bool = False,
    ) -> None:
        self.rule = rule
        self.allow_missing = allow_missing

    @override
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        asked = Asked.of(predictions, "video", allow_missing=self.allow_missing)
        videos = _videos(predictions, asked)
        counted = [v for v in videos if v.said is not None or self.rule == "misses"]
        recalls = step_recalls(counted)
        # each step has a second of its own, so there must be as many
        impossible = [v for v in videos if len(v.truth) < v.truth.shape[1]]
        return {
            "protocol": {
                **asked.protocol("step localization"),
                "tasks": len({video.task for video in videos}),
                "steps_present": int(sum(video.truth.any(axis=0).sum() for video in videos)),
                "videos_shorter_than_their_steps": len(impossible),
                "rule": self.rule,
            },
            "recall": math.fsum(recalls.values()) / len(recalls),
            "tasks": recalls,
        }


def step_recalls(videos: Iterable[Localized]) -> dict[str, float]:
    """Return the recall of each task; videos without a prediction find nothing.

    Raises:
        DataError: no step of a task is present in any of its videos, or there is no video.
    """
    found: dict[str, int] = {}
    present: dict[str, int] = {}
    for video in videos:
        right = 0 if video.said is None else int((video.truth * video.said).sum())
        found[video.task] = found.get(video.task, 0) + right
        present[video.task] = present.get(video.task, 0) + int(video.truth.any(axis=0).sum())
    empty = [task for task, steps in present.items() if steps == 0]
    if empty or not present:
        raise DataError(
            f"recall has no meaning where no step is present: task {', '.join(empty)}"
            if present
            else "there is no video with a prediction"
        )
    return {task: found[task] / present[task] for task in present}


def _videos(predictions: Predictions, asked: Asked) -> list[Localized]:
    count = len(asked.ids)
    tasks = read(predictions, "tasks", count).tolist()
    shapes = [
        (frames, steps)
        for frames, steps in zip(
            read_whole(predictions, "frames", count).tolist(),
            read_whole(predictions, "steps", count).tolist(),
            strict=True,
        )
    ]
    truth = _matrices(predictions, "targets", shapes)
    said = _matrices(predictions, "assigned", [shapes[place] for place in asked.places])
    by_place = dict(zip(asked.places, said, strict=True))
    return [Localized(task, truth[place], by_place.get(place)) for place, task in enumerate(tasks)]


def _matrices(
    predictions: Predictions, name: str, shapes: list[tuple[int, int]]
) -> list[Int[np.ndarray, "seconds steps"]]:
    read_whole(predictions, name, end=2)
    flat = split_rows(predictions, name, [frames * steps for frames, steps in shapes], "video")
    return [part.reshape(shape) for part, shape in zip(flat, shapes, strict=True)]
