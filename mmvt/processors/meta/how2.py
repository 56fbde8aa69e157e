"""HowTo100M, and any data set whose splits are plain lists of video ids."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from typing_extensions import override

from mmvt.errors import DataError
from mmvt.ids import check_id
from mmvt.processors.base import MetaProcessor
from mmvt.processors.splits import SplitPaths, refuse_leak

logger = logging.getLogger(__name__)


class How2MetaProcessor(MetaProcessor):
    """Lists the videos of a ``.lst`` file, one id a line; the text id is the video id.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: list of the training videos.
        val_path: list of the videos for validation, and for testing without ``test_path``.
        test_path: list of the videos for testing.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path)
        path = paths.of(split)
        self._ids = read_ids(path)
        for other in dict.fromkeys(paths.apart_from(split).values()):
            refuse_leak(path, self._ids, other, read_ids(other))

    @override
    def __len__(self) -> int:
        return len(self._ids)

    @override
    def __getitem__(self, index: int) -> tuple[str, str]:
        return self._ids[index], self._ids[index]


def read_ids(path: Path) -> list[str]:
    """Return the ids of a list, one a line; repeated ids stay and are reported by a warning.

    Raises:
        DataError: the file cannot be read, is empty, or holds what is no id.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    ids, problems = [], []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                ids.append(check_id(line.strip()))
            except DataError as error:
                problems.append(f"{path}:{number}: {error}")
    if problems:
        raise DataError("\n".join(problems[:50]))
    if not ids:
        raise DataError(f"{path}: there is no id in the list")
    if repeated := len(ids) - len(set(ids)):
        logger.warning("%s: %d of its %d ids repeat others", path, repeated, len(ids))
    return ids
