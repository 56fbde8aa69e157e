"""TVQA: questions about clips of six television shows, with five answers each.

Files of the public release: ``tvqa_train.jsonl`` and ``tvqa_val.jsonl``, a question a line.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Literal

from mmvt.processors.annotations import Record, check_unique, read_json_lines, refuse
from mmvt.processors.meta.listed import ListedMetaProcessor, read_split
from mmvt.processors.questions import AskedQuestion
from mmvt.processors.splits import SplitPaths
from mmvt.processors.transcript_files import find_transcript, read_transcript

logger = logging.getLogger(__name__)

CHOICES = 5
WHOLE = (0.0, float("inf"))
_SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)\s*")


def read_questions(path: Path, times: bool = False) -> list[AskedQuestion]:
    """Return the questions of a file; their kind is the show.

    Args:
        path: a line of JSON a question: ``qid``, ``q``, ``a0`` to ``a4``, ``answer_idx``,
            ``vid_name``, ``show_name`` and ``ts``, such as ``76.01-84.2``.
        times: they are about the seconds of ``ts``. In the release some are not numbers: these
            questions are about the whole clip, and counted in the log.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    records = read_json_lines(path, problems)
    found = [_question(record, times) for record in records]
    keys = ((record.where, own.text_id) for record, own in zip(records, found, strict=True))
    check_unique(keys, "qid", problems)
    if not records and not problems:
        problems.append(f"{path}: holds no question")
    refuse(problems)
    without = sum(asked.span == WHOLE for asked in found)
    if times and without:
        logger.warning(
            "%s: %d of %d questions have no time, and are about the whole clip",
            path,
            without,
            len(found),
        )
    return found


def said_in(folder: Path, video_id: str, span: tuple[float, float]) -> str:
    """Return the words that are said in a part of a clip, even if they begin before it.

    Raises:
        DataError: the clip has no transcript, or one that cannot be read.
    """
    words = read_transcript(find_transcript(folder, video_id)).words
    return " ".join(word.text for word in words if word.end > span[0] and word.start < span[1])


class TVQAMetaProcessor(ListedMetaProcessor):
    """Lists clips with each question about them.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: ``tvqa_train.jsonl``.
        val_path: ``tvqa_val.jsonl``, also for testing without ``test_path``.
        test_path: a file of the same form with answers.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        _, questions = read_split(
            split, SplitPaths(train_path, val_path, test_path), read_questions
        )
        super().__init__([(asked.video_id, asked.text_id) for asked in questions])


def _question(record: Record, times: bool) -> AskedQuestion:
    answer = record.whole("answer_idx")
    if not 0 <= answer < CHOICES:
        record.problem(f"answer_idx {answer} is none of 0 to {CHOICES - 1}")
    return AskedQuestion(
        record.video("vid_name"),
        str(record.whole("qid")),
        record.text("q"),
        [record.text(f"a{number}") for number in range(CHOICES)],
        answer,
        (record.text("show_name"),),
        _span(record) if times else WHOLE,
    )


def _span(record: Record) -> tuple[float, float]:
    """Return (start, end) in seconds; the whole clip where they are not numbers."""
    text = record.text("ts")
    if "nan" in text.lower():
        return WHOLE
    match = _SPAN.fullmatch(text)
    times = None if match is None else (match[1], match[2])
    return record.span(times, f"ts {text!r}") if text else WHOLE
