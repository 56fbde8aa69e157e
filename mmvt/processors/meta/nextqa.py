"""NExT-QA: questions about the causes, times and contents of videos, with five answers each.

Files of the public release: ``train.csv``, ``val.csv`` and ``test.csv`` of multiple choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmvt.processors.annotations import Record, check_unique, read_table, refuse
from mmvt.processors.meta.listed import ListedMetaProcessor, read_split
from mmvt.processors.questions import AskedQuestion
from mmvt.processors.splits import SplitPaths

CHOICES = 5
COLUMNS = ("video", "qid", "type", "answer")
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
    records = read_table(path, COLUMNS, problems)
    questions = [_question(record) for record in records]
    _refuse(path, records, [question.text_id for question in questions], problems)
    return questions


def read_choices(path: Path) -> list[AskedQuestion]:
    """Return the questions of a file with what is asked and the answers to choose from.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    answers = [f"a{number}" for number in range(CHOICES)]
    records = read_table(path, (*COLUMNS, "question", *answers), problems)
    found = []
    for record in records:
        known = _question(record)
        texts = [record.text(name) for name in answers]
        asked = record.text("question")
        groups = (known.kind[:1], known.kind)
        video = record.video("video")
        found.append(AskedQuestion(video, known.text_id, asked, texts, known.answer, groups))
    _refuse(path, records, [question.text_id for question in found], problems)
    return found


class NExTQAMetaProcessor(ListedMetaProcessor):
    """Lists videos with each question about them.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: ``train.csv``.
        val_path: ``val.csv``, also for testing without ``test_path``.
        test_path: ``test.csv``.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        _, questions = read_split(split, SplitPaths(train_path, val_path, test_path), read_choices)
        super().__init__([(asked.video_id, asked.text_id) for asked in questions])


def _refuse(path: Path, records: list[Record], names: list[str], problems: list[str]) -> None:
    """Raise if there are problems, a question is there twice, or there is none."""
    where = (record.where for record in records)
    check_unique(zip(where, names, strict=True), "question", problems)
    if not records and not problems:
        problems.append(f"{path}: holds no question")
    refuse(problems)


def _question(record: Record) -> Question:
    kind, answer = record.text("type"), record.whole("answer")
    if kind and kind not in TYPES:
        record.problem(f"type {kind!r} is none of {', '.join(TYPES)}")
    if not 0 <= answer < CHOICES:
        record.problem(f"answer {answer} is none of 0 to {CHOICES - 1}")
    return Question(f"{record.video('video')}_{record.text('qid')}", kind, answer)
