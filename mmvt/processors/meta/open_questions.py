"""Open questions in the form of MSR-VTT-QA and MSVD-QA, as of the public releases or one's own.

A JSON list, or a line of JSON each in a ``.jsonl`` file, of ``{"video_id": …, "question": …,
"answer": …}``, with an ``id`` or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mmvt.processors.annotations import (
    Record,
    check_unique,
    read_json_lines,
    read_records,
    refuse,
)
from mmvt.processors.meta.listed import ListedMetaProcessor, read_split
from mmvt.processors.questions import AskedQuestion, first_word
from mmvt.processors.splits import SplitPaths


def read_questions(path: Path) -> list[AskedQuestion]:
    """Return the questions of a file; their kind is their first word.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    if path.suffix == ".jsonl":
        records = read_json_lines(path, problems)
    else:
        records = read_records(path, "question", problems)
    found = [_question(path, number, record) for number, record in enumerate(records)]
    keys = ((record.where, own.text_id) for record, own in zip(records, found, strict=True))
    check_unique(keys, "id", problems)
    if not records and not problems:
        problems.append(f"{path}: holds no question")
    refuse(problems)
    return found


class OpenQuestionMetaProcessor(ListedMetaProcessor):
    """Lists videos with each question about them.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: questions for training, such as ``train_qa.json``.
        val_path: questions for validation, and for testing without ``test_path``.
        test_path: questions for testing.
        prefix: what stands before the ids of the file in the names of videos, such as ``video``
            for MSR-VTT, whose ids are numbers.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        prefix: str = "",
    ) -> None:
        _, questions = read_split(
            split, SplitPaths(train_path, val_path, test_path), read_questions
        )
        super().__init__([(prefix + asked.video_id, asked.text_id) for asked in questions])


def _question(path: Path, number: int, record: Record) -> AskedQuestion:
    text = record.text("question")
    # ids of the releases begin anew in each file
    name = f"{path.stem}:{_named(record, 'id') if 'id' in record.content else number}"
    video = record.as_video(named) if (named := _named(record, "video_id")) else ""
    return AskedQuestion(video, name, text, [record.text("answer")], 0, (first_word(text),))


def _named(record: Record, key: str) -> str:
    """Return an id that is given as a number or as text."""
    value = record.value(key)
    return str(value) if type(value) is int else (record.text(key) if value is not None else "")
