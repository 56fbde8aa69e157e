"""ActivityNet-QA: open questions about the videos of ActivityNet.

Files of the public release: ``{train,val,test}_q.json`` with the questions, and the answers beside
them in ``{train,val,test}_a.json``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mmvt.errors import ConfigError
from mmvt.processors.annotations import Record, check_unique, read_records, refuse
from mmvt.processors.meta.listed import ListedMetaProcessor, read_split
from mmvt.processors.questions import AskedQuestion
from mmvt.processors.splits import SplitPaths, named

QUESTIONS, ANSWERS = "_q.json", "_a.json"
# in the order of their numbers
TYPES = (
    "motion",
    "spatial relation",
    "temporal relation",
    "yes/no",
    "color",
    "object",
    "location",
    "number",
    "other",
)


def read_questions(path: Path) -> list[AskedQuestion]:
    """Return the questions of a file, with the answers of the file beside it.

    Raises:
        ConfigError: the name does not end in ``_q.json``.
        DataError: with all that is wrong in both files.
    """
    if not path.name.endswith(QUESTIONS):
        raise ConfigError(f"{path}: a file of questions is called …{QUESTIONS}, such as val_q.json")
    other = path.with_name(path.name.removesuffix(QUESTIONS) + ANSWERS)
    problems: list[str] = []
    asked = _by_id(path, "question", problems)
    answered = _by_id(other, "answer", problems)
    for one, theirs, source in ((asked, answered, other), (answered, asked, path)):
        absent = [name for name in one if name not in theirs]
        if absent:
            problems.append(f"{source}: nothing of {len(absent)} question ids: {named(absent)}")
    found = [
        _question(name, asked[name], answered[name]) for name in asked.keys() & answered.keys()
    ]
    if not asked and not problems:
        problems.append(f"{path}: holds no question")
    refuse(problems)
    order = {name: place for place, name in enumerate(asked)}
    return sorted(found, key=lambda question: order[question.text_id])


class ActivityNetQAMetaProcessor(ListedMetaProcessor):
    """Lists videos with each question about them.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: ``train_q.json``; its answers are beside it.
        val_path: ``val_q.json``, also for testing without ``test_path``.
        test_path: ``test_q.json``.
        prefix: what the ids of videos begin with, such as ``v_``.
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


def _by_id(path: Path, noun: str, problems: list[str]) -> dict[str, Record]:
    records = read_records(path, noun, problems)
    names = [record.text("question_id") for record in records]
    where = (record.where for record in records)
    check_unique(zip(where, names, strict=True), "question_id", problems)
    return {name: record for name, record in zip(names, records, strict=True) if name}


def _question(name: str, asked: Record, answered: Record) -> AskedQuestion:
    number = answered.whole("type")
    if not 0 <= number < len(TYPES):
        answered.problem(f"type {number} is none of 0 to {len(TYPES) - 1}")
        number = 0
    return AskedQuestion(
        asked.video("video_name"),
        name,
        asked.text("question"),
        [answered.text("answer")],
        0,
        (TYPES[number],),
    )
