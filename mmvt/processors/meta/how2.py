"""HowTo100M, and any data set whose splits are plain lists of video ids."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from typing_extensions import override

from mmvt.errors import ConfigError, DataError
from mmvt.ids import check_id
from mmvt.processors.base import MetaProcessor

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
        evaluated = test_path or val_path if split == "test" else val_path
        path = train_path if split == "train" else evaluated
        if path is None:
            key = "train_path" if split == "train" else "val_path"
            raise ConfigError(f"the split {split!r} needs {key}")
        self._ids = read_ids(path)
        others = [train_path] if split != "train" else [val_path, test_path]
        for other in others:
            if other is not None:
                _refuse_leak(path, self._ids, other)

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


def _refuse_leak(path: Path, ids: list[str], other: Path) -> None:
    others = set(read_ids(other))
    leaked = sorted({video for video in ids if video in others})
    if leaked:
        raise DataError(
            f"{len(leaked)} videos are in both {path} and {other}: {', '.join(leaked[:10])}"
        )
