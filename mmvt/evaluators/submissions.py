"""Prediction files of public benchmarks, with their annotation files, as arrays for a metric.

A value that cannot be read is an error of its line; ids that are missing, unexpected or there twice
are found by the metric.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.processors.annotations import Record, read_json_lines, read_mapping, refuse
from mmvt.processors.meta import nextqa, qvhighlights

WINDOWS, SALIENCY = "pred_relevant_windows", "pred_saliency_scores"


def qvhighlights_predictions(path: Path, annotations: Path) -> Predictions:
    """Return a submission to QVHighlights as HighlightMetric takes it.

    Args:
        path: a line of JSON a query: ``qid``, and ``pred_relevant_windows`` ([start, end, score] of
            each), ``pred_saliency_scores`` (one a clip) or both, the same in all lines.
        annotations: ``highlight_{train,val,test}_release.jsonl`` with labels.

    Raises:
        DataError: with all that is wrong in a file.
    """
    queries = qvhighlights.read_queries(annotations)
    saliency = [rated for query in queries for rated in query.saliency]
    if len({len(rated) for rated in saliency}) > 1:
        raise DataError(f"{annotations}: clips were not all rated by as many people")
    problems: list[str] = []
    records = read_json_lines(path, problems)
    video = {query.text_id: query.video_id for query in queries}
    qids = [str(record.whole("qid")) for record in records]
    for record, qid in zip(records, qids, strict=True):
        expected = video.get(qid)
        if expected is not None and record.content.get("vid", expected) != expected:
            record.problem(f"vid is not {expected!r}, as in the annotation of qid {qid}")
    predicted = {**_predicted_windows(records), **_predicted_clips(records)}
    refuse(problems)
    return {
        "ids": np.array(list(video)),
        "durations": np.array([query.duration for query in queries]),
        "window_query": _owners([query.windows for query in queries]),
        "windows": np.array([w for query in queries for w in query.windows]).reshape(-1, 2),
        "clip_query": _owners([query.clip_ids for query in queries]),
        "clips": np.array([clip for query in queries for clip in query.clip_ids], np.int64),
        "saliency": np.array(saliency, np.int64),
        "scored_ids": np.array(qids, np.str_),
        **predicted,
    }


def nextqa_predictions(path: Path, annotations: Path) -> Predictions:
    """Return answers to NExT-QA as MultipleChoiceMetric takes them.

    Args:
        path: JSON with ``{"prediction": place of the chosen answer from 0}`` of each question
            ``<video>_<qid>``; where ``answer`` is there too, it is compared.
        annotations: ``{train,val,test}.csv`` of multiple choice.

    Raises:
        DataError: with all that is wrong in a file.
    """
    questions = nextqa.read_questions(annotations)
    right = {question.text_id: question.answer for question in questions}
    problems: list[str] = []
    chosen: dict[str, int] = {}
    answers = read_mapping(path, problems)
    for name, value in answers.content.items():
        entry = answers.entry(value, name)
        chosen[name] = entry.whole("prediction")
        if not 0 <= chosen[name] < nextqa.CHOICES:
            entry.problem(f"prediction is none of 0 to {nextqa.CHOICES - 1}")
        if entry.content.get("answer") not in (None, right.get(name)) and name in right:
            entry.problem(f"answer is not {right[name]}, as in the annotation")
    refuse(problems)
    return {
        "ids": np.array(list(right)),
        "answers": np.array(list(right.values())),
        "groups": np.array([(question.kind[0], question.kind) for question in questions]),
        "scored_ids": np.array(list(chosen), np.str_),
        "choices": np.array(list(chosen.values()), np.int64),
    }


def _predicted_windows(records: Sequence[Record]) -> Predictions:
    if not any(WINDOWS in record.content for record in records):
        return {}
    windows = [
        [_numbers(record, f"{WINDOWS} {n}", own, 3) for n, own in enumerate(given, start=1)]
        for record, given in ((record, record.listed(WINDOWS)) for record in records)
    ]
    rows = np.array([row for own in windows for row in own], float).reshape(-1, 3)
    return {
        "scored_window_query": _owners(windows),
        "scored_windows": rows[:, :2],
        "window_scores": rows[:, 2],
    }


def _predicted_clips(records: Sequence[Record]) -> Predictions:
    if not any(SALIENCY in record.content for record in records):
        return {}
    scores = [_numbers(record, SALIENCY, record.listed(SALIENCY)) for record in records]
    return {
        "scored_clip_query": _owners(scores),
        "clip_scores": np.array([score for own in scores for score in own], float),
    }


def _numbers(record: Record, name: str, value: Any, count: int | None = None) -> list[float]:
    """Return a list of finite numbers; zeros, and a problem, where it is something else."""
    good = isinstance(value, list) and all(
        type(number) in (int, float) and abs(number) <= sys.float_info.max for number in value
    )
    if good and count in (None, len(value)):
        return [float(number) for number in value]
    many = "finite numbers" if count is None else f"{count} finite numbers"
    record.problem(f"{name} of qid {record.content.get('qid')} are not {many}")
    return [0.0] * (count or 0)


def _owners(parts: Sequence[Sequence[Any]]) -> Int[np.ndarray, " rows"]:
    """Return the number of the part that each row belongs to, of all parts one after another."""
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])
