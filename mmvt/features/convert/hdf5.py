"""Features in an HDF5 file: one dataset a video, what is known of it in attributes.

A dataset has the shape (steps, dim) or (steps, grid², dim), and may have the attributes ``times``
(seconds of each step), ``duration`` (seconds), ``source``, ``n_valid``, and ``id`` where its name
is not the id. A file written here says in its attribute ``mmvt`` what its rows are, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from typing_extensions import override

from mmvt.datasets.store import FeatureStore
from mmvt.errors import StoreError
from mmvt.features.convert.base import Features, OnVideo, Source
from mmvt.features.find import Failure

OPTIONS = "mmvt"


class HDF5File(Source):
    """The datasets of an HDF5 file; groups are parts of ids, as folders are of paths.

    Links, and datasets whose numbers lie in other files, are refused.

    Args:
        path: the file.

    Raises:
        StoreError: it cannot be read, or holds no dataset.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r")
            found = list(_datasets(self._file, set()))
            options = json.loads(self._file.attrs.get(OPTIONS, "{}"))
            self.fps, self.encoder = options.get("fps"), options.get("encoder")
        except (OSError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise StoreError(f"{path}: cannot be read as HDF5: {error}") from error
        if not found:
            raise StoreError(f"{path}: holds no dataset")
        self._places: dict[str, str] = {}
        self.refused = []
        for video_id, place, reason in found:
            if reason is None and video_id in self._places:
                reason = f"has the same id as {self._places[video_id]}"
            if reason is None:
                self._places[video_id] = place
            else:
                self.refused.append(Failure(video_id, f"{path}: {place}", reason))
        self.names = list(self._places)

    @override
    def read(self, name: str) -> Features:
        place = self._places[name]
        try:
            dataset = self._file[place]
            given = dict(dataset.attrs)
            rows = dataset[()]
            return Features(
                np.asarray(rows),
                None if "times" not in given else np.asarray(given["times"], np.float64),
                None if "duration" not in given else float(given["duration"]),
                None if "source" not in given else str(given["source"]),
                None if "n_valid" not in given else int(given["n_valid"]),
            )
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise StoreError(f"{self.path}: {place}: cannot be read: {error}") from error


def write_hdf5(store: FeatureStore, path: Path, *, on_video: OnVideo = lambda name: None) -> None:
    """Write a store as an HDF5 file, which takes its name when it is whole.

    Args:
        store: the features.
        path: the file.
        on_video: called with the id of each video that is written.

    Raises:
        StoreError: the file exists or cannot be written, or the store is damaged.
    """
    if path.exists():
        raise StoreError(f"{path}: exists already")
    store.verify()
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # only new versions of the format have room for the times of a long video
        with h5py.File(temporary, "w", libver="latest", track_order=True) as file:
            file.attrs[OPTIONS] = json.dumps(store.manifest.options(), sort_keys=True)
            for video_id in store.ids:
                _write(file, store, video_id)
                on_video(video_id)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        raise StoreError(f"{path}: cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):  # it has its name, or was never there
            temporary.unlink()


def _write(file: h5py.File, store: FeatureStore, video_id: str) -> None:
    # groups would let one video be inside another
    name = video_id.replace("%", "%25").replace("/", "%2F")
    dataset = file.create_dataset("%2E" if name == "." else name, data=store[video_id])
    known: dict[str, Any] = store.metadata(video_id)
    dataset.attrs["id"] = video_id
    dataset.attrs["times"] = store.times(video_id)
    for key in ("duration", "source", "n_valid"):
        if known[key] is not None:
            dataset.attrs[key] = known[key]


def _datasets(group: h5py.Group, seen: set[Any]) -> Iterator[tuple[str, str, str | None]]:
    """Yield (id, place, reason against it) of all datasets, each group once."""
    for name in group:
        place = f"{group.name.rstrip('/')}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            yield place[1:], place, "is a link"
            continue
        item = group[name]
        if isinstance(item, h5py.Dataset):
            elsewhere = item.is_virtual or item.external
            yield (
                str(item.attrs.get("id", place[1:])),
                place,
                "its numbers lie in another file" if elsewhere else None,
            )
        elif isinstance(item, h5py.Group) and item.id not in seen:
            yield from _datasets(item, {*seen, item.id})
