"""MSVD: short clips with about 40 captions each.

Files: captions of all clips, as a JSON list of ``{"id": …, "caption": […]}`` or as the release's
``AllVideoDescriptions.txt`` (``<clip> <caption>`` a line, after comments), and a list of the clips
of each split, one a line.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal

from mmvt.errors import DataError
from mmvt.processors.annotations import Record, check_unique, read_lines, read_records, refuse
from mmvt.processors.meta.listed import ListedMetaProcessor
from mmvt.processors.splits import SplitPaths, named, refuse_leak, warn_of_shared


def read_captions(path: Path) -> dict[str, list[str]]:
    """Return the captions of each clip.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    read = _read_json_captions if path.suffix == ".json" else _read_descriptions
    captions = read(path, problems)
    if not captions and not problems:
        problems.append(f"{path}: holds no clip")
    refuse(problems)
    return captions


class MSVDMetaProcessor(ListedMetaProcessor):
    """Lists clips with all their captions in training, and each caption otherwise.

    Args:
        split: ``train``, ``valid`` or ``test``.
        annotations: captions of all clips.
        train_path: list of the training clips.
        val_path: list of the clips for validation, and for testing without ``test_path``.
        test_path: list of the clips for testing.
        per: an example is a ``video`` with all its captions, or one ``caption``; by default a
            video in training and a caption in evaluation.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        annotations: Path,
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        per: Literal["video", "caption"] | None = None,
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path)
        captions, path = read_captions(annotations), paths.of(split)
        videos = read_clips(path)
        silent = [video for video in videos if video not in captions]
        if silent:
            raise DataError(
                f"{annotations}: no caption of {len(silent)} clips of {path}: {named(silent)}"
            )
        for other in paths.apart_from(split).values():
            refuse_leak(path, videos, other, read_clips(other))
        warn_of_shared(path, ((video, text) for video in videos for text in captions[video]))
        if (per or ("video" if split == "train" else "caption")) == "video":
            super().__init__([(video, video) for video in videos])
        else:
            super().__init__(
                [
                    (video, f"{video}#{number}")
                    for video in videos
                    for number in range(1, len(captions[video]) + 1)
                ]
            )


def read_clips(path: Path) -> list[str]:
    """Return the ids of a list of clips.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    records = [Record(where, {"clip": line}, problems) for where, line in read_lines(path)]
    clips = [record.video("clip") for record in records]
    check_unique(zip((record.where for record in records), clips, strict=True), "clip", problems)
    if not clips:
        problems.append(f"{path}: there is no clip in the list")
    refuse(problems)
    return clips


def _read_json_captions(path: Path, problems: list[str]) -> dict[str, list[str]]:
    clips = read_records(path, "clip", problems)
    ids = [clip.video("id") for clip in clips]
    check_unique(zip((clip.where for clip in clips), ids, strict=True), "id", problems)
    return {name: clip.texts("caption") for name, clip in zip(ids, clips, strict=True)}


def _read_descriptions(path: Path, problems: list[str]) -> dict[str, list[str]]:
    captions = defaultdict(list)
    for where, line in read_lines(path):
        name, _, text = line.partition(" ")
        if line.startswith("#"):
            continue
        record = Record(where, {"id": name, "caption": text}, problems)
        captions[record.video("id")].append(record.text("caption"))
    return dict(captions)
