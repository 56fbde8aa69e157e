"""CrossTask: videos of tasks whose steps are known, each step with its times in the video.

Files of the public release: ``tasks_primary.txt`` and ``tasks_related.txt`` (six lines a task),
``videos.csv`` and ``videos_val.csv`` (``task,video,url`` without a header), and a folder of
``task_video.csv`` (``step,start,end`` without a header, steps from 1).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mmvt.errors import DataError
from mmvt.ids import check_id
from mmvt.processors.annotations import (
    Record,
    check_unique,
    clean,
    read_lines,
    read_text,
    refuse,
)
from mmvt.processors.labels import Spans
from mmvt.processors.meta.listed import ListedMetaProcessor
from mmvt.processors.splits import named

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskVideo:
    """A video of a task.

    Attributes:
        task: id of the task.
        name: name of the video.
    """

    task: str
    name: str

    @property
    def text_id(self) -> str:
        """Name of the annotation, without its ending."""
        return f"{self.task}_{self.name}"

    @property
    def video_id(self) -> str:
        """The id of the video."""
        return check_id(self.name.strip())


def read_tasks(path: Path) -> dict[str, list[str]]:
    """Return the steps of each task: id, title, url, number of steps, steps, and a blank line.

    Raises:
        DataError: with all that is wrong.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    tasks: dict[str, list[str]] = {}
    problems = []
    for first in range(0, len(lines) - 4, 6):
        where, (task, _, _, count, joined) = f"{path}:{first + 1}", lines[first : first + 5]
        steps = [clean(step) for step in joined.split(",")]
        if not task or task in tasks:
            problems.append(f"{where}: the task {task!r} is {'there twice' if task else 'empty'}")
        if count != str(len(steps)) or not all(steps):
            problems.append(f"{where}: task {task}: {count} steps, but the list has {len(steps)}")
        if any(lines[first + 5 : first + 6]):
            problems.append(f"{where}: task {task}: no blank line after its five lines")
        tasks[task] = steps
    if not tasks:
        problems.append(f"{path}: holds no task of five lines and a blank one")
    refuse(problems)
    return tasks


def read_videos(path: Path) -> list[TaskVideo]:
    """Return the videos of a list.

    Raises:
        DataError: with all that is wrong.
    """
    problems, videos = list[str](), []
    for where, line in read_lines(path):
        cells = line.split(",")
        record = Record(where, dict(zip(("task", "video"), cells, strict=False)), problems)
        if len(cells) == 3 and record.text("task") and record.video("video"):
            videos.append((where, TaskVideo(cells[0].strip(), cells[1].strip())))
        elif len(cells) != 3:
            record.problem(f"{len(cells)} cells, but task, video and url are 3")
    check_unique(((where, video.text_id) for where, video in videos), "video", problems)
    if not videos and not problems:
        problems.append(f"{path}: holds no video")
    refuse(problems)
    return [video for _, video in videos]


def read_spans(path: Path, steps: int) -> Spans:
    """Return the annotated parts of a video; steps count from 0.

    Args:
        path: csv of ``step,start,end`` without a header, steps from 1.
        steps: number of steps of the task.

    Raises:
        DataError: with all that is wrong.
    """
    problems, labels, times = list[str](), [], []
    for where, line in read_lines(path):
        cells = line.split(",")
        record = Record(where, dict(zip(("step", "start", "end"), cells, strict=False)), problems)
        if len(cells) != 3:
            record.problem(f"{len(cells)} cells, but step, start and end are 3")
            continue
        label = record.whole("step")
        if not 1 <= label <= steps:
            record.problem(f"step {label} is not one of 1 to {steps}")
        labels.append(label - 1)
        times.append(record.span(cells[1:], "the step"))
    refuse(problems)
    spans = np.array(times, dtype=float).reshape(-1, 2)
    return Spans(np.array(labels, dtype=int), spans[:, 0], spans[:, 1])


def split_videos(
    videos: Mapping[str, list[str]], primary: Collection[str], n_train: int, seed: int
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the (training, test) videos of each task.

    ``n_train`` random videos of each primary task are for training and the others for testing; a
    task of no more videos, and one that is not primary, is for training alone. Draws are numpy's
    old ones, in the order of the tasks, so that seed 0 is the split of the published numbers.
    """
    draws = np.random.RandomState(seed)
    train, test = dict(videos), {}
    for task, names in videos.items():
        if task in primary and len(names) > n_train:
            chosen = draws.choice(names, n_train, replace=False).tolist()
            train[task] = chosen
            test[task] = [name for name in names if name not in set(chosen)]
    return train, test


class CrossTaskMetaProcessor(ListedMetaProcessor):
    """Lists videos with the steps of their task.

    Videos of ``val_csv_path`` are in no split. Videos of related tasks without an annotation are
    left out and counted; those of primary tasks are an error.

    Args:
        split: ``train``, ``valid`` or ``test``; the last two are the same.
        train_csv_path: all videos.
        val_csv_path: videos that are kept out.
        primary_path: tasks that are tested.
        related_path: further tasks for training; null = none.
        annotation_path: folder of the annotations.
        n_train: training videos of each primary task.
        split_seed: seed of the random choice of training videos.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_csv_path: Path,
        val_csv_path: Path,
        primary_path: Path,
        annotation_path: Path,
        related_path: Path | None = None,
        n_train: int = 30,
        split_seed: int = 0,
    ) -> None:
        primary = read_tasks(primary_path)
        tasks = primary | ({} if related_path is None else read_tasks(related_path))
        kept_out = set(read_videos(val_csv_path))
        videos = [v for v in read_videos(train_csv_path) if v.task in tasks and v not in kept_out]
        videos = _annotated(videos, primary, annotation_path)
        names = defaultdict(list)
        for video in videos:
            names[video.task].append(video.name)
        train, test = split_videos(names, primary, n_train, split_seed)
        both = {n for own in train.values() for n in own} & {
            n for own in test.values() for n in own
        }
        if both:
            logger.warning(
                "%s: %d videos are of two tasks, for training in one and for testing in the other, "
                "such as %s",
                train_csv_path,
                len(both),
                min(both),
            )
        mine = [
            TaskVideo(task, name)
            for task, own in (train if split == "train" else test).items()
            for name in own
        ]
        if not mine:
            raise DataError(f"{train_csv_path}: no task has more than {n_train} videos to test")
        super().__init__([(video.video_id, video.text_id) for video in mine])


def _annotated(videos: list[TaskVideo], primary: Collection[str], folder: Path) -> list[TaskVideo]:
    absent = {v for v in videos if not (folder / f"{v.text_id}.csv").is_file()}
    lost = [video.text_id for video in videos if video in absent and video.task in primary]
    if lost:
        raise DataError(f"{folder}: {len(lost)} videos have no annotation: {named(lost)}")
    if absent:
        logger.warning("%s: %d videos of related tasks have no annotation", folder, len(absent))
    return [video for video in videos if video not in absent]
