"""Brings an index up to date with a folder of videos."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mmvt.datasets.manifest import NAME as MANIFEST
from mmvt.datasets.manifest import read_manifest
from mmvt.datasets.store import FeatureStore
from mmvt.errors import ConfigError, DataError
from mmvt.features.find import Video
from mmvt.inference import LoadedModel
from mmvt.retrieval.index import (
    NAME,
    IndexedFile,
    ModelRef,
    Part,
    VideoIndex,
    spans,
    stretches,
)

logger = logging.getLogger(__name__)

FEATURES = "features"
_ID_BYTES = 200

Extract = Callable[[Sequence[Video], Path], None]


@dataclass
class Changes:
    """What became of the videos of an index.

    Attributes:
        added: ids of videos that are new.
        changed: ids of videos whose file is another than it was.
        kept: ids of videos that are as they were.
        removed: ids of videos whose file is gone.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def update_index(
    folder: Path, videos: Sequence[Video], loaded: LoadedModel, model: ModelRef, extract: Extract
) -> Changes:
    """Add new and changed videos to an index, drop those whose file is gone, and say what was done.

    A file is as it was while its size and time of change are. Features are kept in ``features/``,
    so that a run that was stopped goes on where it stopped.

    Args:
        folder: the index; made, or added to.
        videos: the videos that should be in it. Others stay in it as long as their file is there.
        loaded: the model.
        model: what is written down about it.
        extract: adds the features of videos to the store in a folder; a video that it cannot read
            is left out.

    Raises:
        ConfigError: the index was made by another model, or the model is untrained.
        DataError: two files have the same id.
    """
    if not loaded.trained:
        raise ConfigError(f"{model.config}: the model is untrained; give a checkpoint")
    old = {part.file.id: part for part in _old_parts(folder, model)}
    stamps = [_stamp(video) for video in videos]
    _refuse_namesakes(stamps, old)
    todo = [stamp for stamp in stamps if not _is_same(stamp, old)]
    asked = {stamp.id for stamp in stamps}
    others = [part for part in old.values() if part.file.id not in asked]
    kept = [_moved(old[stamp.id], stamp.path) for stamp in stamps if _is_same(stamp, old)]
    kept += [part for part in others if Path(part.file.path).exists()]
    new = _read(todo, folder / FEATURES, loaded, extract) if todo else []
    index = VideoIndex.of_parts(model, [*kept, *new], loaded.dim)
    if index.files != [part.file for part in old.values()] or not (folder / NAME).exists():
        index.save(folder)
    return Changes(
        added=[part.file.id for part in new if part.file.id not in old],
        changed=[part.file.id for part in new if part.file.id in old],
        kept=sorted(part.file.id for part in kept),
        removed=[part.file.id for part in others if not Path(part.file.path).exists()],
    )


def check_model(index: VideoIndex, folder: Path, model: ModelRef) -> None:
    """Raise unless an index was made by a model.

    Raises:
        ConfigError: naming both.
    """
    if index.model.fingerprint != model.fingerprint:
        raise ConfigError(
            f"{folder} was indexed with {index.model}, but this is {model}; vectors of two models "
            "cannot be compared: use another folder"
        )


def _old_parts(folder: Path, model: ModelRef) -> Iterator[Part]:
    if (folder / NAME).exists():
        index = VideoIndex.open(folder)
        check_model(index, folder, model)
        yield from index.parts()


def _refuse_namesakes(stamps: Sequence[IndexedFile], old: Mapping[str, Part]) -> None:
    for stamp in stamps:
        there = old[stamp.id].file.path if stamp.id in old else stamp.path
        if there != stamp.path and Path(there).exists():
            raise DataError(
                f"{stamp.id!r} is indexed as {there}, which is another file than {stamp.path}; use "
                "another folder for the index"
            )


def _is_same(stamp: IndexedFile, old: Mapping[str, Part]) -> bool:
    return stamp.id in old and old[stamp.id].file.features == stamp.features


def _moved(part: Part, path: str) -> Part:
    return replace(part, file=replace(part.file, path=path))


def _stamp(video: Video) -> IndexedFile:
    """Return what is known of a video before it is read; a changed file has other features."""
    path = video.path.resolve()
    try:
        status = path.stat()
        size, mtime = status.st_size, status.st_mtime_ns
    except OSError:  # extraction says what is wrong
        size, mtime = 0, 0
    key = f"{video.id}\n{size}\n{mtime}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    name = video.id.encode()[:_ID_BYTES].decode(errors="ignore")
    return IndexedFile(video.id, str(path), size, mtime, None, f"{name}@{digest}", 0, 0)


def _read(
    stamps: Sequence[IndexedFile], store: Path, loaded: LoadedModel, extract: Extract
) -> list[Part]:
    """Return the vectors of the videos that can be read."""
    extract([Video(stamp.features, Path(stamp.path)) for stamp in stamps], store)
    _compare_features(store, loaded)
    return list(_embedded(stamps, store, loaded))


def _compare_features(folder: Path, loaded: LoadedModel) -> None:
    """Warn where the features of an index are made otherwise than those that were trained on."""
    trained_on = loaded.recipe.plans["dataset"].values["video_processor"].values.get("store")
    if loaded.checkpoint is None or trained_on is None or not (trained_on / MANIFEST).exists():
        return
    manifests = (read_manifest(trained_on), read_manifest(folder))
    there, here = ({**manifest.encoder, "fps": manifest.fps} for manifest in manifests)
    others = [
        f"{key} is {there.get(key)!r} there and {here.get(key)!r} here"
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    ]
    if others:
        logger.warning(
            "%s trains on features of %s, but its section features makes others, and the search "
            "will be poor: %s",
            loaded.recipe.path,
            trained_on,
            "; ".join(others),
        )


def _embedded(stamps: Sequence[IndexedFile], folder: Path, loaded: LoadedModel) -> Iterator[Part]:
    """Yield the vectors of the videos that a store holds."""
    store = FeatureStore.open(folder)
    for stamp in stamps:
        if stamp.features not in store:
            continue
        rows = store[stamp.features]
        duration = store.metadata(stamp.features)["duration"]
        whole = stretches(len(rows), loaded.max_video_len)
        inner = spans(len(rows), loaded.max_video_len)
        places = np.array([*whole, *inner])
        file = replace(stamp, duration=duration, stretches=len(whole), spans=len(inner))
        vectors = loaded.encode_features([rows[start:stop] for start, stop in places]).numpy()
        yield Part(file, vectors, loaded.extraction.edges(len(rows), duration)[places])
