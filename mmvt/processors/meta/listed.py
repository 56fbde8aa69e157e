"""What the meta processors of annotated data sets share: examples in a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from typing_extensions import override

from mmvt.processors.base import MetaProcessor
from mmvt.processors.splits import SplitPaths, refuse_leak


@runtime_checkable
class OfVideo(Protocol):
    """What is known of a video."""

    @property
    def video_id(self) -> str:
        """The id of the video."""


R = TypeVar("R", bound=OfVideo)


class ListedMetaProcessor(MetaProcessor):
    """Examples in a list; a data set's class makes it of its files.

    Args:
        examples: (video id, text id) of each.
    """

    def __init__(self, examples: Iterable[tuple[str, str]]) -> None:
        self._examples = list(examples)

    @override
    def __len__(self) -> int:
        return len(self._examples)

    @override
    def __getitem__(self, index: int) -> tuple[str, str]:
        return self._examples[index]


def read_split(
    split: str, paths: SplitPaths, read: Callable[[Path], Sequence[R]]
) -> tuple[Path, Sequence[R]]:
    """Return the file of a split and what it holds.

    Raises:
        ConfigError: there is no file of this split.
        DataError: a file is wrong, or a video is both for training and for evaluation.
    """
    path = paths.of(split)
    records = read(path)
    for other in dict.fromkeys(paths.apart_from(split).values()):
        videos = (record.video_id for record in records)
        refuse_leak(path, videos, other, (record.video_id for record in read(other)))
    return path, records
