"""Writes pre-tokenised captions in the layout of the original VideoCLIP toolkit.

:class:`~mmvt.datasets.original_shards.OriginalTexts` reads them back. ``PREFIXtexts.json`` says
how shards were made and which are done; a run that was stopped goes on with the first that is not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmvt.datasets.original_shards import TEXTS, OriginalTexts, VideoOrder, ids_sum
from mmvt.errors import DataError, StoreError
from mmvt.files import atomic_write, atomic_write_json, atomic_write_text, locked
from mmvt.processors.base import TextClips
from mmvt.processors.text.dedup import TimedText, text_clips

logger = logging.getLogger(__name__)

PADDING = -1
FAILURES = "texts_failures.jsonl"
LOCK = ".texts.lock"
_VIDEOS = 256

Captions = Callable[[str], Sequence[TimedText]]
Tokenise = Callable[[list[str]], list[list[int]]]


@dataclass(frozen=True)
class NoCaptions:
    """A video whose captions could not be written; its place in the shard is empty.

    Attributes:
        shard: name of the shard.
        id: id of the video.
        reason: why.
    """

    shard: str
    id: str
    reason: str


@dataclass
class TextReport:
    """What became of the videos.

    Attributes:
        written: videos of the shards that were written.
        skipped: videos of the shards that were done.
        failures: videos without captions, those of shards that were done included.
    """

    written: int = 0
    skipped: int = 0
    failures: list[NoCaptions] = field(default_factory=list)


def write_text_shards(
    prefix: str,
    store: VideoOrder,
    captions: Captions,
    tokenise: Tokenise,
    *,
    made_by: Mapping[str, Any],
    max_words: int = 32,
    overwrite: bool = False,
    on_videos: Callable[[int], None] = lambda count: None,
) -> TextReport:
    """Write the captions of all videos of a store, a text shard for each of its shards.

    Shards that are done are skipped. A video whose captions are missing or wrong has none in its
    shard; it is in the report and in ``PREFIXtexts_failures.jsonl``, and the others go on.

    Args:
        prefix: what stands before the names of the shards in the paths of the text shards.
        store: the features, in whose order the captions are written.
        captions: returns the captions of a video.
        tokenise: returns the token ids of texts.
        made_by: all that must be equal for shards to belong together, such as the tokenizer.
        max_words: tokens kept of each caption.
        overwrite: begin anew; else shards that were made in another way are an error.
        on_videos: called with the number of videos that were done since the last call.

    Raises:
        StoreError: there are shards of another making or of other videos; another process writes
            to them; or the store is damaged.
    """
    made = json.loads(json.dumps({**made_by, "max_words": max_words}))
    with locked(Path(f"{prefix}{LOCK}"), "these text shards"):
        run = _Run(prefix, store, made, overwrite)
        for number in store.shard_numbers:
            ids = store.ids_of(number)
            if run.is_done(number, ids):
                run.report.skipped += len(ids)
                on_videos(len(ids))
            else:
                run.write(number, ids, _clips(run, number, ids, captions, tokenise, on_videos))
    return run.report


class _Run:
    """What is done, and what was not possible.

    Args:
        prefix: of the text shards.
        store: in whose order they are.
        made: how they are made.
        overwrite: forget what is there.
    """

    def __init__(
        self, prefix: str, store: VideoOrder, made: dict[str, Any], overwrite: bool
    ) -> None:
        self.prefix, self.store, self.made = prefix, store, made
        self.report = TextReport()
        self._listing, self._failures = Path(f"{prefix}{TEXTS}"), Path(f"{prefix}{FAILURES}")
        self._done: dict[str, str] = {}
        if overwrite:
            self._listing.unlink(missing_ok=True)
            self._failures.unlink(missing_ok=True)
        if self._listing.exists():
            self._resume()
        else:
            if not overwrite:
                self._refuse_strangers()
            self._save()

    def is_done(self, number: int, ids: list[str]) -> bool:
        """Return whether the text shard of a shard is there, whole.

        Raises:
            StoreError: it is of other videos.
        """
        name = self.store.shard_name(number)
        if name not in self._done:
            return False
        if self._done[name] != ids_sum(ids):
            raise StoreError(f"{self.prefix}{name}: holds the captions of other videos")
        try:
            OriginalTexts(self.prefix, self.store).shard(number)
        except StoreError as error:
            logger.warning("written anew: %s", error)
            return False
        return True

    def write(self, number: int, ids: list[str], videos: list[TextClips]) -> None:
        """Write a text shard, and that it is done; its failures before."""
        name = self.store.shard_name(number)
        lines = [json.dumps(asdict(item), ensure_ascii=False) for item in self.report.failures]
        atomic_write_text(self._failures, "".join(f"{line}\n" for line in lines))
        write_text_shard(f"{self.prefix}{name}", videos, max_words=self.made["max_words"])
        self._done[name] = ids_sum(ids)
        self._save()
        self.report.written += len(ids)

    def _save(self) -> None:
        atomic_write_json(self._listing, {"made_by": self.made, "shards": self._done})

    def _resume(self) -> None:
        try:
            there = json.loads(self._listing.read_bytes())
            made, self._done = there["made_by"], dict(there["shards"])
            lines = self._failures.read_text("utf-8") if self._failures.exists() else ""
            failures = [NoCaptions(**json.loads(line)) for line in lines.splitlines()]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self._listing}: is damaged: {error!r}") from error
        self.report.failures = [item for item in failures if item.shard in self._done]
        problems = [
            f"{key} is {made.get(key)!r}, not {self.made.get(key)!r}"
            for key in sorted({*made, *self.made})
            if made.get(key) != self.made.get(key)
        ]
        if problems:
            raise StoreError(
                f"{self._listing}: the text shards were made in another way: {'; '.join(problems)}"
            )

    def _refuse_strangers(self) -> None:
        for number in self.store.shard_numbers:
            for path in _files(f"{self.prefix}{self.store.shard_name(number)}").values():
                if path.exists():
                    raise StoreError(f"{path}: is there already, and {self._listing} is not")


def _clips(
    run: _Run,
    number: int,
    ids: list[str],
    captions: Captions,
    tokenise: Tokenise,
    on_videos: Callable[[int], None],
) -> list[TextClips]:
    """Return the tokenised captions of videos, none for those that have none; note these."""
    shard = run.store.shard_name(number)
    # what is known of a shard that turned out to be damaged is found again
    run.report.failures = [item for item in run.report.failures if item.shard != shard]
    clips = []
    for first in range(0, len(ids), _VIDEOS):
        some = ids[first : first + _VIDEOS]
        found: list[Sequence[TimedText]] = []
        for video_id in some:
            try:
                found.append(captions(video_id))
            except DataError as error:
                found.append([])
                run.report.failures.append(NoCaptions(shard, video_id, str(error)))
        tokens = iter(tokenise([caption.text for video in found for caption in video]))
        clips += [text_clips(video, [next(tokens) for _ in video]) for video in found]
        on_videos(len(some))
    return clips


def write_text_shard(name: str, videos: Sequence[TextClips], *, max_words: int = 32) -> None:
    """Write the captions of the videos of one shard, replacing those that are there.

    Each of the four files appears whole. While they are written at least one of them is missing,
    so that none is read with one of another time.

    Args:
        name: path of the shard, without ``.startends_data.npy`` and the like.
        videos: captions of each video, with times in seconds.
        max_words: tokens kept of each caption.
    """
    captions = [caption for video in videos for caption in video.cap]
    tokens = np.full((len(captions), max_words), PADDING, np.int32)
    for row, caption in zip(tokens, captions, strict=True):
        row[: len(caption)] = caption[:max_words]
    if cut := sum(len(caption) > max_words for caption in captions):
        logger.warning("%s: cut %d of %d captions to %d tokens", name, cut, len(tokens), max_words)
    times = [np.stack([video.start, video.end], axis=1) for video in videos if len(video)]
    starts = np.cumsum([0, *(len(video) for video in videos)], dtype=np.int64)
    arrays: dict[str, np.ndarray] = {
        "startends_starts": starts,
        "startends_data": np.concatenate([np.empty((0, 2)), *times]).astype(np.float32),
        "caps_ids_starts": starts,
        "caps_ids_data": tokens,
    }
    files = _files(name)
    for path in files.values():
        path.unlink(missing_ok=True)
    for key, path in files.items():
        with atomic_write(path) as file:
            np.save(file, arrays[key], allow_pickle=False)


def _files(name: str) -> dict[str, Path]:
    keys = ("startends_starts", "startends_data", "caps_ids_starts", "caps_ids_data")
    return {key: Path(f"{name}.{key}.npy") for key in keys}
