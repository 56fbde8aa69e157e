"""Captions of HowTo100M's raw form: one JSON file, times and texts of each video in lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.errors import DataError
from mmvt.processors.annotations import read_json
from mmvt.processors.base import TextClips, TextProcessor
from mmvt.processors.text.dedup import (
    TimedText,
    Unit,
    text_clips,
    tidy,
    video_generator,
    without_repeats,
)
from mmvt.processors.text.tokenizer import load_tokenizer, tokenised

_KEYS = ("start", "end", "text")


class JSONTextProcessor(TextProcessor):
    """Cleans and tokenises the captions of a JSON file; the text id is the video id.

    The file holds ``{video_id: {"start": […], "end": […], "text": […]}}``, times in seconds, a
    text or null each. It is held in memory; write text shards of what is read many times.

    Args:
        annotations: the JSON file.
        bert_name: name or folder of the tokenizer.
        dedup: what is compared to find what captions repeat of each other: ``words``, or
            ``characters`` as in the original; null = captions stay as they are.
    """

    def __init__(self, *, annotations: Path, bert_name: str, dedup: Unit | None = "words") -> None:
        self.tokenizer = load_tokenizer(bert_name)
        self.captions = JSONCaptions(annotations, dedup)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self.captions

    @override
    def __call__(self, text_id: Any) -> TextClips:
        captions = self.captions(text_id)
        return text_clips(captions, tokenised(self.tokenizer, [c.text for c in captions]))


class JSONCaptions:
    """The cleaned captions of a JSON file, by video.

    Args:
        path: the file, as :class:`JSONTextProcessor` takes it.
        dedup: as there.

    Raises:
        DataError: as :func:`read_json_captions`.
    """

    def __init__(self, path: Path, dedup: Unit | None) -> None:
        self.path, self.dedup = path, dedup
        self._videos = read_json_captions(path)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._videos

    def __call__(self, video_id: str) -> list[TimedText]:
        """Return the captions of a video.

        Raises:
            DataError: there are none, or they are wrong.
        """
        if video_id not in self._videos:
            raise DataError(f"{self.path} has no captions of the video {video_id!r}")
        try:
            captions = tidy(_timed(self._videos[video_id]))
        except DataError as error:
            raise DataError(f"{self.path}: video {video_id!r}: {error}") from error
        if self.dedup is None:
            return captions
        return without_repeats(captions, video_generator(video_id), self.dedup)


def read_json_captions(path: Path) -> dict[str, Any]:
    """Return what a caption file holds of each video; it is checked when it is used.

    Raises:
        DataError: the file is missing, is no UTF-8 or JSON, is no mapping of videos, or holds a
            video twice.
    """
    videos = read_json(path)
    if not isinstance(videos, dict):
        raise DataError(f"{path}: is no mapping from video ids to captions")
    return videos


def _timed(lists: Any) -> list[TimedText]:
    if not isinstance(lists, dict) or not all(isinstance(lists.get(key), list) for key in _KEYS):
        raise DataError("has no lists start, end and text")
    starts, ends, texts = (lists[key] for key in _KEYS)
    if not len(starts) == len(ends) == len(texts):
        raise DataError(f"has {len(starts)} starts, {len(ends)} ends and {len(texts)} texts")
    captions = []
    for number, (start, end, text) in enumerate(zip(starts, ends, texts, strict=True), start=1):
        if type(start) not in (int, float) or type(end) not in (int, float):
            raise DataError(f"caption {number} goes from {start!r} to {end!r}, which are no times")
        if not (text is None or isinstance(text, str)):
            raise DataError(f"caption {number} is no text: {text!r}")
        captions.append(TimedText(float(start), float(end), text or ""))
    return captions
