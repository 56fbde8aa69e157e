"""One's own data: the examples of a caption file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from typing_extensions import override

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import MetaProcessor
from mmvt.processors.caption_file import caption_id, read_captions, text_ids
from mmvt.processors.splits import warn_of_shared


class CaptionMetaProcessor(MetaProcessor):
    """Lists the examples of one split of a caption file.

    Without a ``split`` column a video goes where the sha256 of its id says (:func:`split_of`), so
    that all its captions share one split and adding videos moves none.

    Args:
        split: ``train``, ``valid`` or ``test``.
        annotations: CSV with the header ``video,caption[,start,end][,split]``.
        per: an example is a ``video`` with all its captions, or one ``caption``; by default a
            video in training and a caption in evaluation.
        valid_fraction: share of videos for validation where the file has no split column.
        test_fraction: share of videos for testing where the file has no split column.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        annotations: Path,
        per: Literal["video", "caption"] | None = None,
        valid_fraction: float = 0.1,
        test_fraction: float = 0.1,
    ) -> None:
        if min(valid_fraction, test_fraction) < 0 or valid_fraction + test_fraction >= 1:
            raise ConfigError(
                f"valid_fraction {valid_fraction} and test_fraction {test_fraction} leave no share "
                "of the videos for training"
            )
        videos = read_captions(annotations)
        text_ids(videos)
        texts = ((video, row.text) for video, rows in videos.items() for row in rows)
        warn_of_shared(annotations, texts)
        mine = {
            video: rows
            for video, rows in videos.items()
            if (rows[0].split or split_of(video, valid_fraction, test_fraction)) == split
        }
        if not mine:
            raise DataError(
                f"{annotations}: none of its {len(videos)} videos is in the split {split!r}; add a "
                f"column 'split', or more videos (valid_fraction {valid_fraction}, test_fraction "
                f"{test_fraction})"
            )
        if (per or ("video" if split == "train" else "caption")) == "video":
            self._examples = [(video, video) for video in mine]
        else:
            self._examples = [
                (video, caption_id(video, number))
                for video, rows in mine.items()
                for number in range(1, len(rows) + 1)
            ]

    @override
    def __len__(self) -> int:
        return len(self._examples)

    @override
    def __getitem__(self, index: int) -> tuple[str, str]:
        return self._examples[index]


def split_of(video_id: str, valid_fraction: float, test_fraction: float) -> str:
    """Return the split of a video, a pure function of its id.

    The first 8 bytes of the sha256 of the id (UTF-8), read as a fraction of 2^64, lie below
    ``test_fraction`` for ``test``, below ``test_fraction + valid_fraction`` for ``valid``, and
    above for ``train``.
    """
    digest = hashlib.sha256(video_id.encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < test_fraction:
        return "test"
    return "valid" if share < test_fraction + valid_fraction else "train"
