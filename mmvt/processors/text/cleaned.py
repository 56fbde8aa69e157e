"""Cleaned captions of a caption file of any of our forms, by video."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from mmvt.errors import DataError
from mmvt.processors.caption_file import read_captions
from mmvt.processors.text.dedup import TimedText, Unit, video_generator, without_repeats
from mmvt.processors.text.json_file import JSONCaptions


def cleaned_captions(path: Path, dedup: Unit | None) -> Callable[[str], Sequence[TimedText]]:
    """Return what tells the captions of a video, or raises a DataError where there are none.

    Args:
        path: JSON as :class:`~mmvt.processors.text.json_file.JSONTextProcessor` takes it, or a
            caption file (``.csv``, ``.jsonl``).
        dedup: what is compared to find what captions repeat of each other; None = they stay.

    Raises:
        DataError: the file is missing or wrong.
    """
    if path.suffix in (".csv", ".jsonl"):
        return FileCaptions(path, dedup)
    return JSONCaptions(path, dedup)


class FileCaptions:
    """The captions of a caption file, by video.

    Args:
        path: the file.
        dedup: what is compared to find what captions repeat of each other; None = they stay.

    Raises:
        DataError: the file is missing or wrong.
    """

    def __init__(self, path: Path, dedup: Unit | None) -> None:
        self.path, self.dedup = path, dedup
        self._videos = read_captions(path)

    def __call__(self, video_id: str) -> list[TimedText]:
        """Return the captions of a video.

        Raises:
            DataError: there are none, or one that is compared has no end.
        """
        if video_id not in self._videos:
            raise DataError(f"{self.path} has no captions of the video {video_id!r}")
        rows = self._videos[video_id]
        captions = [TimedText(row.start, row.end, row.text) for row in rows]
        if self.dedup is None:
            return captions
        for row in rows:
            if row.end == math.inf:
                raise DataError(f"{self.path}:{row.line}: without an end it cannot be cleaned")
        return without_repeats(captions, video_generator(video_id), self.dedup)
