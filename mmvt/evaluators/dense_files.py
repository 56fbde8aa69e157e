"""Submissions of dense captions: captions with times, by the id of the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmvt.evaluators.base import Predictions
from mmvt.evaluators.caption_files import Captions, text_array
from mmvt.processors.annotations import Record, read_mapping, refuse
from mmvt.processors.meta.activitynet import read_described

Times = list[tuple[float, float]]


def dense_predictions(path: Path, annotations: Path) -> Predictions:
    """Return a submission of dense captions as DenseCaptionMetric takes it.

    Args:
        path: JSON with ``results``: ``{id: [{"sentence": text, "timestamp": [start, end]}, …]}``,
            as ActivityNet's server asks for; a list may be empty.
        annotations: ``val_1.json`` or another file of ActivityNet Captions.

    Raises:
        DataError: with all that is wrong in a file.
    """
    videos = read_described(annotations)
    references = [(video.video_id, text) for video in videos for text in video.sentences]
    ids, written, times = _submission(path)
    return {
        "ids": np.array([video.video_id for video in videos]),
        "reference_ids": np.array([name for name, _ in references], np.str_),
        "reference_times": _array([span for video in videos for span in video.times]),
        "references": text_array(annotations, references),
        "reference_source": np.array("texts"),
        "scored_ids": np.array(ids, np.str_),
        "hypothesis_ids": np.array([name for name, _ in written], np.str_),
        "hypothesis_times": _array(times),
        "hypotheses": text_array(path, written),
    }


def _submission(path: Path) -> tuple[list[str], Captions, Times]:
    """Return ids of the videos, and the (id, text) and times of all captions."""
    problems: list[str] = []
    whole = read_mapping(path, problems)
    results = whole.entry(whole.value("results"), "results")
    ids: list[str] = []
    written: Captions = []
    times: Times = []
    for name in results.content:
        ids.append(results.as_video(name))
        for number, value in enumerate(results.listed(name), start=1):
            record = results.entry(value, f"caption {number} of {name!r}")
            written.append((ids[-1], _sentence(record)))
            times.append(record.span(record.value("timestamp"), "timestamp"))
    refuse(problems)
    return ids, written, times


def _sentence(record: Record) -> str:
    value = record.value("sentence")
    if isinstance(value, str):
        return value
    if value is not None:
        record.problem("sentence is no text")
    return ""


def _array(times: Times) -> np.ndarray:
    return np.array(times, float).reshape(-1, 2)
