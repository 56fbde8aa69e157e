"""NExT-QA: questions about the causes, times and contents of videos, with five answers each.

Files of the public release: ``train.csv``, ``val.csv`` and ``test.csv`` of multiple choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmvt.processors.annotations import Record, check_unique, read_table, refuse

CHOICES = 5
# the first letter is the group: causal, temporal, descriptive
TYPES = ("CW", "CH", "TN", "TC", "TP", "DO", "DL", "DC")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with five answers to choose from.

    Attributes:
        text_id: id of the question, ``<video>_<number>``.
        kind: its type, such as ``CW`` (why) or ``TN`` (what comes next).
        answer: place of the right answer, from 0.
    """

    text_id: str
    kind: str
    answer: int


def read_questions(path: Path) -> list[Question]:
    """Return the questions of a file.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    records = read_table(path, ("video", "qid", "type", "answer"), problems)
    questions = [_question(record) for record in records]
    keys = ((r.where, own.text_id) for r, own in zip(records, questions, strict=True))
    check_unique(keys, "question", problems)
    if not questions and not problems:
        problems.append(f"{path}: holds no question")
    refuse(problems)
    return questions


def _question(record: Record) -> Question:
    kind, answer = record.text("type"), record.whole("answer")
    if kind and kind not in TYPES:
        record.problem(f"type {kind!r} is none of {', '.join(TYPES)}")
    if not 0 <= answer < CHOICES:
        record.problem(f"answer {answer} is none of 0 to {CHOICES - 1}")
    return Question(f"{record.video('video')}_{record.text('qid')}", kind, answer)
