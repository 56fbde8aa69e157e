"""ActivityNet Captions: videos described by timed sentences.

Files of the public release: ``train.json``, ``val_1.json`` and ``val_2.json``. Dense captions of
other data sets come in this form too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmvt.processors.annotations import read_mapping, refuse
from mmvt.processors.meta.listed import ListedMetaProcessor, read_split
from mmvt.processors.splits import SplitPaths, warn_of_shared


@dataclass(frozen=True, slots=True)
class Described:
    """A video with timed sentences.

    Attributes:
        video_id: id of the video.
        sentences: in the order of the file.
        times: (start, end) of each in seconds.
    """

    video_id: str
    sentences: list[str]
    times: list[tuple[float, float]]

    @property
    def paragraph(self) -> str:
        """All sentences, joined in the order of the file."""
        return " ".join(self.sentences)


def read_described(path: Path) -> list[Described]:
    """Return the videos of a file of dense captions.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    whole = read_mapping(path, problems)
    found = []
    for name in whole.content:
        record = whole.entry(whole.content[name], f"video {name!r}")
        sentences, times = record.texts("sentences"), record.spans("timestamps")
        if len(sentences) != len(times):
            record.problem(f"{len(times)} timestamps for {len(sentences)} sentences")
        found.append(Described(record.as_video(name), sentences, times))
    if not found and not problems:
        problems.append(f"{path}: holds no video")
    refuse(problems)
    return found


class ActivityNetCaptionsMetaProcessor(ListedMetaProcessor):
    """Lists videos with their paragraphs, with each timed sentence, or with all of them.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: captions for training.
        val_path: captions for validation, and for testing without ``test_path``.
        test_path: captions for testing.
        per: an example is a ``paragraph`` (all sentences of a video joined, in the order of the
            file), a ``sentence`` with its times, or ``dense``: all of a video with theirs.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        per: Literal["paragraph", "sentence", "dense"] = "paragraph",
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path)
        path, videos = read_split(split, paths, read_described)
        if per == "paragraph":
            warn_of_shared(path, ((video.video_id, video.paragraph) for video in videos))
            super().__init__(
                [(video.video_id, f"{path.stem}:{video.video_id}") for video in videos]
            )
        elif per == "dense":
            super().__init__([(video.video_id, dense_id(path, video)) for video in videos])
        else:
            warn_of_shared(path, ((v.video_id, text) for v in videos for text in v.sentences))
            super().__init__(sentence_examples(path, videos))


def dense_id(path: Path, video: Described) -> str:
    """Return the text id of all sentences of a video with their times."""
    return f"{path.stem}:{video.video_id}#all"


def sentence_examples(path: Path, videos: Sequence[Described]) -> list[tuple[str, str]]:
    """Return (video id, text id) of every sentence of a file."""
    return [
        (video.video_id, f"{path.stem}:{video.video_id}#{number}")
        for video in videos
        for number in range(1, len(video.sentences) + 1)
    ]
