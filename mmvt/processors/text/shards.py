"""Pre-tokenised captions in the text shards of the original toolkit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from typing_extensions import override

from mmvt.datasets.original_shards import CaptionArrays, OriginalStore, OriginalTexts, VideoOrder
from mmvt.datasets.store import FeatureStore
from mmvt.errors import DataError, StoreError
from mmvt.processors.base import TextClips, TextProcessor


class ShardedTextProcessor(TextProcessor):
    """Reads the captions of a video from text shards; the text id is the video id.

    Args:
        split: ``train``, ``valid`` or ``test``; the last two both read the shards named ``val``.
        vfeat_dir: folder of the video shards, whose list of ids says where captions are.
        tfeat_dir: what stands before ``train_0`` in the paths of the text shards; no folder.
    """

    def __init__(
        self, *, split: Literal["train", "valid", "test"], vfeat_dir: Path, tfeat_dir: str
    ) -> None:
        self._store: VideoOrder = OriginalStore(vfeat_dir, "train" if split == "train" else "val")
        self._texts = OriginalTexts(tfeat_dir, self._store)

    @override
    def __call__(self, text_id: Any) -> TextClips:
        try:
            self._store.place(text_id)
        except StoreError as error:
            raise DataError(f"no captions: {error}") from error
        return self._texts[text_id]

    def caption_arrays(self, text_ids: Sequence[Any]) -> CaptionArrays:
        """Return the captions of several videos at once."""
        return self._texts.arrays(text_ids)


class StoreTextProcessor(ShardedTextProcessor):
    """Reads the captions of a video from text shards beside a feature store.

    The text id is the video id. ``mmvt tokenize`` writes the shards.

    Args:
        store: folder of the store, whose ids say where captions are.
        tfeat_dir: what stands before ``00000`` in the paths of the text shards; no folder.
    """

    def __init__(self, *, store: Path, tfeat_dir: str) -> None:
        self._store = FeatureStore.open(store)
        self._texts = OriginalTexts(tfeat_dir, self._store)
