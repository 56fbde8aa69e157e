"""Merges feature stores into a new one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmvt.datasets.manifest import NAME
from mmvt.datasets.store import FeatureStore
from mmvt.errors import StoreError
from mmvt.features.convert.base import OnVideo, Report
from mmvt.features.shard import StoreWriter

_NAMED = 10


def merge(
    sources: Sequence[Path],
    folder: Path,
    *,
    skip_duplicates: bool = False,
    shard_size: int = 4096,
    on_video: OnVideo = lambda name: None,
) -> Report:
    """Write the videos of several stores into a new one, in order, and return what became of them.

    All stores are verified first. Rows, times and metadata stay as they are. A merge that was
    stopped goes on where it stopped and ends with the same bytes.

    Args:
        sources: the stores, of the same options.
        folder: the new store.
        skip_duplicates: leave out a video that an earlier store holds with the same rows and
            times; else it is an error.
        shard_size: most videos in a shard.
        on_video: called with the id of each video that is done.

    Raises:
        StoreError: the stores differ in their options, hold different features of a video, or are
            damaged; the new store holds something else, or cannot be written to.
    """
    if folder.resolve() in [source.resolve() for source in sources]:
        raise StoreError(f"{folder}: is one of the stores that are merged; name a new one")
    stores = [FeatureStore.open(source) for source in sources]
    options = stores[0].manifest.options()
    for store in stores[1:]:
        store.require(**options)
    for store in stores:
        store.verify()
    again = [_duplicates(stores, number, skip_duplicates) for number in range(len(stores))]
    if (folder / NAME).exists():
        _require_beginning(FeatureStore.open(folder), stores, again)
    report = Report(skipped=sum(map(len, again)))
    with StoreWriter(folder, **options, shard_size=shard_size, append=True) as writer:
        for store, left_out in zip(stores, again, strict=True):
            for video_id in store.ids:
                if video_id in left_out or video_id in writer:
                    report.skipped += video_id not in left_out
                else:
                    _copy(store, video_id, writer)
                    report.added += 1
                on_video(video_id)
    return report


def _copy(store: FeatureStore, video_id: str, writer: StoreWriter) -> None:
    known = store.metadata(video_id)
    writer.add(
        video_id,
        store[video_id],
        times=store.times(video_id),
        duration=known["duration"],
        source=known["source"],
        n_valid=known["n_valid"],
    )


def _duplicates(stores: Sequence[FeatureStore], number: int, allowed: bool) -> set[str]:
    """Return the ids of a store that an earlier one holds.

    Raises:
        StoreError: there are such, and that is not allowed, or their features differ.
    """
    store, found = stores[number], set[str]()
    ids = list(store.ids)
    for earlier in stores[:number]:
        both = [ids[at] for at in np.flatnonzero(earlier.contains(ids))]
        if both and not allowed:
            raise StoreError(
                f"{len(both)} videos are in both {earlier.folder} and {store.folder}: "
                f"{_named(both)} (--skip-duplicates leaves out those of equal bytes)"
            )
        if other := [video_id for video_id in both if not _equal(earlier, store, video_id)]:
            raise StoreError(
                f"{len(other)} videos have other features in {earlier.folder} than in "
                f"{store.folder}: {_named(other)}"
            )
        found.update(both)
    return found


def _equal(one: FeatureStore, other: FeatureStore, video_id: str) -> bool:
    return all(
        left.shape == right.shape and left.tobytes() == right.tobytes()
        for left, right in (
            (one[video_id], other[video_id]),
            (one.times(video_id), other.times(video_id)),
        )
    )


def _require_beginning(
    merged: FeatureStore, stores: Sequence[FeatureStore], again: Sequence[set[str]]
) -> None:
    """Raise unless a store is the beginning of a merge, as one that was stopped leaves it."""
    planned = (
        video_id
        for store, left_out in zip(stores, again, strict=True)
        for video_id in store.ids
        if video_id not in left_out
    )
    for found, expected in itertools.zip_longest(merged.ids, planned):
        if found is None:
            return
        if found != expected:
            raise StoreError(
                f"{merged.folder}: holds {found!r} where a merge would have {expected!r}; "
                "remove it, or name a new store"
            )


def _named(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:_NAMED])) + (", ..." if len(ids) > _NAMED else "")
