"""The splits of a data set: which files they are in, and what they may not share."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmvt.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

MOST_NAMED = 10


def named(ids: list[str]) -> str:
    """Return ids for a message, the first :data:`MOST_NAMED` of them."""
    return ", ".join(ids[:MOST_NAMED]) + (", ..." if len(ids) > MOST_NAMED else "")


@dataclass(frozen=True)
class SplitPaths:
    """The annotation files of a data set.

    Attributes:
        train: of the training videos.
        val: of the videos for validation, and for testing without ``test``.
        test: of the videos for testing.
    """

    train: Path | None
    val: Path | None
    test: Path | None

    def find(self, split: str) -> Path | None:
        """Return the file of a split, or None."""
        if split == "test":
            return self.test or self.val
        return self.train if split == "train" else self.val

    def of(self, split: str) -> Path:
        """Return the file of a split.

        Raises:
            ConfigError: there is none.
        """
        path = self.find(split)
        if path is None:
            keys = {"train": "train_path", "test": "val_path or test_path"}
            raise ConfigError(f"the split {split!r} needs {keys.get(split, 'val_path')}")
        return path

    def apart_from(self, split: str) -> dict[str, Path]:
        """Return the files of the splits that may share no video with a split, by their names."""
        others = ("valid", "test") if split == "train" else ("train",)
        found = {other: self.find(other) for other in others}
        return {other: path for other, path in found.items() if path is not None}

    def every(self) -> list[Path]:
        """Return all files, each once.

        Raises:
            ConfigError: there is none.
        """
        paths = [path for path in dict.fromkeys([self.train, self.val, self.test]) if path]
        if not paths:
            raise ConfigError("one of train_path, val_path and test_path is needed")
        return paths


def refuse_leak(
    source: object, videos: Iterable[str], other: object, theirs: Iterable[str]
) -> None:
    """Raise if videos are both for training and for evaluation.

    Raises:
        DataError: naming the first of them.
    """
    taken = set(theirs)
    leaked = sorted({video for video in videos if video in taken})
    if leaked:
        raise DataError(f"{len(leaked)} videos are in both {source} and {other}: {named(leaked)}")


def warn_of_shared(source: object, texts: Iterable[tuple[str, str]]) -> None:
    """Report how many captions belong to more than one video.

    Args:
        source: where they are from.
        texts: (video id, caption) of each.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    for video, text in texts:
        owners[text].add(video)
    shared = [text for text, ids in owners.items() if len(ids) > 1]
    if shared:
        logger.warning(
            "%s: %d captions belong to more than one video, such as %r",
            source,
            len(shared),
            shared[0],
        )
