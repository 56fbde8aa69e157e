"""HMDB51: short clips of 51 actions, with three official splits.

File: ``hmdb51.csv`` with the columns ``video_id,label,split1,split2,split3``; a split is 1 for
training, 2 for testing and 0 for neither, and a label may end in ``_test``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmvt.errors import ConfigError
from mmvt.processors.annotations import check_unique, read_table, refuse
from mmvt.processors.meta.listed import ListedMetaProcessor

FOLDS = ("split1", "split2", "split3")
TRAINED, TESTED = 1, 2


@dataclass(frozen=True, slots=True)
class Action:
    """A clip of an action.

    Attributes:
        video_id: id of the clip.
        label: name of the action, such as ``brush hair``.
        folds: what the clip is for in each of the three splits.
    """

    video_id: str
    label: str
    folds: tuple[int, ...]


def read_actions(path: Path) -> list[Action]:
    """Return the clips of the file.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    rows = read_table(path, ["video_id", "label", *FOLDS], problems)
    actions = []
    for row in rows:
        folds = tuple(row.whole(fold) for fold in FOLDS)
        for name, fold in zip(FOLDS, folds, strict=True):
            if fold not in (0, TRAINED, TESTED):
                row.problem(f"{name} is {fold}, but must be 0, 1 or 2")
        label = row.text("label").removesuffix("_test").replace("_", " ")
        actions.append(Action(row.video("video_id"), label, folds))
    ids = ((row.where, action.video_id) for row, action in zip(rows, actions, strict=True))
    check_unique(ids, "video_id", problems)
    if not rows and not problems:
        problems.append(f"{path}: holds no clip")
    refuse(problems)
    return actions


class HMDB51MetaProcessor(ListedMetaProcessor):
    """Lists the clips of one official split, or all that any of them tests.

    Args:
        split: ``train``, ``valid`` or ``test``; the last two are the same.
        annotations: the csv.
        fold: official split; null = the clips that any of the three tests, for evaluation only.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        annotations: Path,
        fold: Literal[1, 2, 3] | None = None,
    ) -> None:
        if fold is None and split == "train":
            raise ConfigError("fold is unset, but training needs one: each clip is tested by some")
        wanted = TRAINED if split == "train" else TESTED
        asked = range(len(FOLDS)) if fold is None else [fold - 1]
        mine = [
            action.video_id
            for action in read_actions(annotations)
            if any(action.folds[place] == wanted for place in asked)
        ]
        super().__init__([(video, video) for video in mine])
