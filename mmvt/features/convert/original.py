"""The shards of the original VideoCLIP toolkit: into a feature store, and of one."""

from __future__ import annotations

import shutil
from pathlib import Path

from typing_extensions import override

from mmvt.datasets.original_shards import OriginalStore
from mmvt.datasets.store import FeatureStore
from mmvt.errors import StoreError
from mmvt.features.convert.base import Features, OnVideo, Source
from mmvt.files import atomic_write, atomic_write_json


class OriginalSplit(Source):
    """One split of the original's shards, one row a second.

    Args:
        folder: holds ``{split}_meta.pkl`` and the shards.
        split: ``train`` or ``val``.

    Raises:
        StoreError: the list of ids is missing, unsafe or malformed.
    """

    fps = 1.0

    def __init__(self, folder: Path, split: str) -> None:
        self.store = OriginalStore(folder, split)
        self.names = self.store.ids

    @override
    def read(self, name: str) -> Features:
        return Features(self.store[name])


def write_original(
    store: FeatureStore, folder: Path, split: str, *, on_video: OnVideo = lambda name: None
) -> Path:
    """Write a store as a split of the original's shards and return the list of its ids.

    The list is ``{split}_meta.json``, written last, and no pickle. Times are not kept: the
    original takes a row for a second.

    Args:
        store: the features.
        folder: for the shards.
        split: ``train`` or ``val``.
        on_video: called with the id of each video that is written.

    Raises:
        StoreError: there is such a split already, the store is damaged, or its steps are grids.
    """
    if store.manifest.grid != 1:
        raise StoreError(
            f"{store.folder}: a step is {store.manifest.grid}² rows; the original knows one"
        )
    listing = folder / f"{split}_meta.json"
    for path in (listing, listing.with_suffix(".pkl")):
        if path.exists():
            raise StoreError(f"{path}: exists already")
    store.verify()
    meta = {}
    for number, shard in enumerate(store.manifest.shards):
        for part in ("data", "starts"):
            with (
                (store.folder / f"{shard.name}_{part}.npy").open("rb") as rows,
                atomic_write(folder / f"{split}_{number}_{part}.npy") as copy,
            ):
                shutil.copyfileobj(rows, copy)
        meta[str(number)] = list(store.shard(number).ids())
        for video_id in meta[str(number)]:
            on_video(video_id)
    atomic_write_json(listing, meta)
    return listing
