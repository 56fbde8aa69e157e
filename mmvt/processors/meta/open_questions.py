"""Open questions in the form of MSR-VTT-QA and MSVD-QA, as of the public releases or one's own.

A JSON list, or a line of JSON each in a ``.jsonl`` file, of ``{"video_id": …, "question": …,
"answer": …}``, with an ``id`` or not. Questions are of the kind ``answer_type`` where it is there,
as in the files of ALPRO, else of the kind of their first word. The CSV of open NExT-QA is read too,
whose columns are ``video``, ``question``, ``answer``, ``qid`` and ``type``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mmvt.errors import DataError
from mmvt.processors.annotations import (
    Record,
    check_unique,
    read_json_lines,
    read_lines,
    read_records,
    read_table,
    refuse,
)
from mmvt.processors.meta.listed import ListedMetaProcessor, read_split
from mmvt.processors.questions import AskedQuestion, first_word
from mmvt.processors.splits import SplitPaths, named


def read_questions(path: Path) -> list[AskedQuestion]:
    """Return the questions of a file.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    if path.suffix == ".csv":
        records = read_table(path, ("video", "qid", "type", "question", "answer"), problems)
    elif path.suffix == ".jsonl":
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
        prefix: what stands before an id that is a number, such as ``video`` for MSR-VTT.
        names: list of ``<name> <id>``, a video a line, such as ``youtube_mapping.txt`` of MSVD-QA,
            whose first line has the id ``vid1``: the number 1 behind the prefix ``vid``.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        prefix: str = "",
        names: Path | None = None,
    ) -> None:
        path, questions = read_split(
            split, SplitPaths(train_path, val_path, test_path), read_questions
        )
        asked_of = [
            prefix + asked.video_id if asked.video_id.isdecimal() else asked.video_id
            for asked in questions
        ]
        if names is not None:
            known = read_names(names)
            unknown = [video for video in dict.fromkeys(asked_of) if video not in known]
            if unknown:
                raise DataError(
                    f"{names}: no name of {len(unknown)} videos of {path}: {named(unknown)}"
                )
            asked_of = [known[video] for video in asked_of]
        super().__init__(zip(asked_of, (asked.text_id for asked in questions), strict=True))


def read_names(path: Path) -> dict[str, str]:
    """Return the names of videos by their ids, of a list of ``<name> <id>``.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    found: list[tuple[str, str, str]] = []
    for where, line in read_lines(path):
        parts = line.split()
        record = Record(where, {}, problems)
        if len(parts) == 2:
            found.append((where, parts[1], record.as_video(parts[0])))
        else:
            record.problem(f"{line!r} is not a name and an id")
    check_unique(((where, key) for where, key, _ in found), "id", problems)
    refuse(problems)
    return {key: name for _, key, name in found}


def _question(path: Path, number: int, record: Record) -> AskedQuestion:
    text, answer = record.text("question"), [record.text("answer")]
    if path.suffix == ".csv":
        kind, video = record.text("type"), record.video("video")
        name = f"{path.stem}:{video}_{record.text('qid')}"
        return AskedQuestion(video, name, text, answer, 0, (kind[:1], kind))
    # ids of the releases begin anew in each file
    name = f"{path.stem}:{_named(record, 'id') if 'id' in record.content else number}"
    video = record.as_video(called) if (called := _named(record, "video_id")) else ""
    kind = record.text("answer_type") if "answer_type" in record.content else first_word(text)
    return AskedQuestion(video, name, text, answer, 0, (kind,))


def _named(record: Record, key: str) -> str:
    """Return an id that is given as a number or as text."""
    value = record.value(key)
    return str(value) if type(value) is int else (record.text(key) if value is not None else "")
