"""Answer files: what a model answers to the questions of a public file, written or chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmvt.errors import ConfigError, did_you_mean
from mmvt.evaluators.arrays import named
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.caption_files import text_array
from mmvt.processors.annotations import (
    Record,
    clean,
    read_json,
    read_json_lines,
    read_lines,
    refuse,
)
from mmvt.processors.meta import activitynet_qa, nextqa, open_questions, tvqa
from mmvt.processors.questions import AskedQuestion, TrainingAnswers

IDS = ("question_id", "qid", "id")
ANSWERS = ("prediction", "answer")  # where both are there, the second is the right one


def read_asked(path: Path) -> list[AskedQuestion]:
    """Return the questions of a public file, with the ids that they have in it.

    Args:
        path: of ActivityNet-QA (``val_q.json``, with ``val_a.json`` beside it), NExT-QA (``.csv``),
            TVQA (``.jsonl``), or in the form of MSR-VTT-QA, MSVD-QA or ALPRO's files of them.

    Raises:
        DataError: with all that is wrong.
    """
    if path.name.endswith((activitynet_qa.QUESTIONS, activitynet_qa.ANSWERS)):
        return activitynet_qa.read_questions(path.with_name(f"{path.stem[:-2]}_q.json"))
    first = next((line for _, line in read_lines(path)), "")
    if path.suffix == ".csv" and "a4" in first.split(","):
        return nextqa.read_choices(path)
    if path.suffix == ".jsonl" and '"vid_name"' in first:
        return tvqa.read_questions(path)
    questions = open_questions.read_questions(path)
    return [replace(own, text_id=own.text_id.removeprefix(f"{path.stem}:")) for own in questions]


def answer_predictions(
    path: Path, annotations: Path, train: Path | None = None
) -> tuple[Predictions, int]:
    """Return answers as AnswerMetric or, to choose from, MultipleChoiceMetric takes them.

    Args:
        path: ``{id: answer}``, ``{video: {id: answer}}``, or a list of ``{"qid": id, "answer":
            answer}``, of which a ``.jsonl`` file has one a line; the id may be called
            ``question_id`` or ``id``, and the answer ``prediction``. An answer is a text, or the
            place of what is chosen, from 0.
        annotations: questions and right answers, in a form of :func:`read_asked`.
        train: those for training, for what can be said of open answers without a model.

    Returns:
        The arrays, and how many answers were left out since they stand there again.

    Raises:
        ConfigError: ``train`` is given, and answers are to choose from.
        DataError: with all that is wrong in a file; a question that is answered in two ways.
    """
    asked = read_asked(annotations)
    choices = max(len(question.answers) for question in asked)
    if choices > 1 and train is not None:
        raise ConfigError(f"{annotations}: questions for training are for answers in writing only")
    problems: list[str] = []
    answers: dict[str, Any] = {}
    given = list(_answers(path, problems))
    differently: dict[str, None] = {}
    for record, name, value in given:
        answer = _checked(record, name, value, choices)
        if answers.setdefault(name, answer) != answer:
            differently[name] = None
    if differently:
        problems.append(
            f"{path}: {len(differently)} questions are answered more than once, in different ways: "
            f"{named(list(differently))}"
        )
    refuse(problems)
    ids = [question.text_id for question in asked]
    arrays = {
        "ids": np.array(ids),
        "groups": np.array([question.groups for question in asked]),
        "scored_ids": np.array([name.removeprefix(f"{annotations.stem}:") for name in answers]),
    }
    said, repeated = list(answers.values()), len(given) - len(answers)
    if choices > 1:
        arrays["answers"] = np.array([question.answer for question in asked])
        return {**arrays, "choices": np.array(said, np.int64)}, repeated
    arrays["answers"] = np.array([question.right for question in asked])
    arrays["said"] = text_array(path, list(zip(answers, said, strict=True)))
    if train is not None:
        known = TrainingAnswers(read_asked(train))
        arrays["known"] = np.array([int(question.right in known) for question in asked])
        arrays["guesses"] = np.array([known.guess(question.text) for question in asked])
    return arrays, repeated


def _answers(path: Path, problems: list[str]) -> Iterator[tuple[Record, str, Any]]:
    """Yield (where it stands, id of the question, answer) of all answers of a file."""
    whole = Record(str(path), {}, problems)
    if path.suffix == ".jsonl":
        yield from map(_listed, read_json_lines(path, problems))
        return
    content = read_json(path)
    if isinstance(content, list):
        entries = (whole.entry(value, f"answer {n}") for n, value in enumerate(content))
        yield from map(_listed, entries)
    elif isinstance(content, dict):
        for name, value in content.items():
            if isinstance(value, dict) and not any(key in value for key in ANSWERS):
                yield from ((whole, f"{name}_{number}", own) for number, own in value.items())
            else:
                yield whole, name, value
    else:
        whole.problem("is neither a list nor a mapping of answers")


def _listed(record: Record) -> tuple[Record, str, Any]:
    key = next((key for key in IDS if key in record.content), "id")
    name = record.value(key)
    if name is not None and type(name) not in (str, int):
        record.problem(f"{key} {name!r} is no text")
    return record, str(name), dict(record.content)


def _checked(record: Record, name: str, value: Any, choices: int) -> str | int:
    """Return an answer: a text, or the place of what is chosen."""
    if isinstance(value, dict):
        key = next((key for key in ANSWERS if key in value), None)
        if key is None:
            near = next((hint for own in ANSWERS if (hint := did_you_mean(own, value))), "")
            record.problem(f"the answer to {name!r} has neither {' nor '.join(ANSWERS)}{near}")
            return ""
        value = value[key]
    if choices == 1 and isinstance(value, str):
        return clean(value)
    if choices > 1 and type(value) is int and 0 <= value < choices:
        return value
    wanted = "no text" if choices == 1 else f"none of 0 to {choices - 1}"
    record.problem(f"the answer to {name!r} is {wanted}: {value!r}")
    return ""
