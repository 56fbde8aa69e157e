"""Writes pre-tokenised captions in the layout of the original VideoCLIP toolkit.

Reading them back is :class:`~mmvt.datasets.original_shards.OriginalTexts`.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mmvt.datasets.original_shards import OriginalStore
from mmvt.errors import StoreError
from mmvt.files import atomic_write
from mmvt.processors.base import TextClips

logger = logging.getLogger(__name__)

PADDING = -1


def write_text_shards(
    prefix: str,
    store: OriginalStore,
    texts: Callable[[str], TextClips],
    *,
    max_words: int = 32,
    overwrite: bool = False,
) -> None:
    """Write the captions of every video of a split, a text shard for each of its video shards.

    A shard that was not finished, because its writer was stopped, is written anew.

    Args:
        prefix: what stands before ``{split}_{shard}`` in the paths of the text shards.
        store: the features of the split, in whose order the captions are written.
        texts: returns the captions of a video, such as a text processor.
        max_words: tokens kept of each caption.
        overwrite: replace shards that are there; else they are an error.

    Raises:
        StoreError: a shard is there already.
        DataError: a video has no captions, or they are wrong.
    """
    for number, ids in itertools.groupby(store.ids, key=lambda video: store.place(video)[0]):
        name = f"{prefix}{store.split}_{number}"
        if not overwrite and all(path.exists() for path in _files(name).values()):
            raise StoreError(f"{name}: there is a text shard already; overwrite: true replaces it")
        write_text_shard(name, [texts(video) for video in ids], max_words=max_words)


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
