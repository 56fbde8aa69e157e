"""The run over many videos: decode, encode, store; resumed where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmvt.config.fields import REQUIRED, convert, fields_of
from mmvt.datasets.manifest import NAME, read_manifest
from mmvt.errors import ConfigError, PluginError, did_you_mean
from mmvt.features.backend import Backend, Features, LocalBackend
from mmvt.features.base import AudioEncoder, FeatureEncoder
from mmvt.features.decode_pool import TIME_LIMIT
from mmvt.features.find import Failure, Video
from mmvt.features.resume import FAILURES, Failures, refuse_mixture
from mmvt.features.shard import StoreWriter
from mmvt.features.steps import Encoding, FrameOptions, encoding_of
from mmvt.plugins import load_plugins

__all__ = ["FAILURES", "FrameOptions", "Report", "build_encoder", "extract"]

ENCODER_KINDS = ("feature_encoder", "audio_encoder")


@dataclass
class Report:
    """The outcome of a run.

    Attributes:
        extracted: videos whose features were added.
        skipped: videos whose features were there.
        failures: videos without features, those that failed in earlier runs included.
    """

    extracted: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)


def build_encoder(name: str, options: Mapping[str, Any]) -> FeatureEncoder | AudioEncoder:
    """Return an encoder of frames or of sound by its class name.

    Args:
        name: name of the plugin, such as ``EfficientNetLite0``.
        options: arguments of its constructor; the ``device`` ``auto`` is a GPU where there is one.

    Raises:
        PluginError: there is no such encoder.
        ConfigError: an option is unknown, missing or of the wrong type; there is no such device.
    """
    cls = _encoder_class(name)
    fields = {item.name: item for item in fields_of(cls)}
    problems = [
        f"{name} has no option {key!r}{did_you_mean(key, fields)} (it has {', '.join(fields)})"
        for key in options
        if key not in fields
    ]
    values = {}
    for key, item in fields.items():
        if key in options:
            try:
                values[key] = convert(options[key], item.annotation)
            except TypeError as error:
                problems.append(f"{name}, option {key!r}: {error}")
        elif item.default is REQUIRED:
            problems.append(f"{name} needs the option {key!r}: {item.doc}")
    if problems:
        raise ConfigError(problems)
    if "device" in values:
        values["device"] = _device(values["device"])
    return cls(**values)


def _device(name: str) -> str:
    """Return the name of a device that is there.

    Raises:
        ConfigError: there is none of that name.
    """
    gpus = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if gpus else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"no device is called {name!r}; take cpu, cuda, cuda:1 or auto") from None
    if device.type == "cuda" and (device.index or 0) not in range(gpus):
        raise ConfigError(f"the device is {name}, but torch {torch.__version__} finds {gpus} GPUs")
    return name


def _encoder_class(name: str) -> type[FeatureEncoder | AudioEncoder]:
    """Return the class of an encoder of frames or of sound."""
    plugins = load_plugins()
    names = {n: kind for kind in ENCODER_KINDS for n in plugins.registries[kind].names()}
    if name not in names:
        hint = did_you_mean(name, names) or f" (there are {', '.join(sorted(names))})"
        raise PluginError(f"no feature encoder named {name!r}{hint}")
    return plugins.get(names[name], name)


def extract(
    videos: Sequence[Video],
    encoder: FeatureEncoder | AudioEncoder,
    folder: Path,
    options: FrameOptions | None = None,
    *,
    dtype: str = "float16",
    shard_size: int = 512,
    batch: int = 4,
    half: bool = False,
    workers: int = 1,
    decoders: int = 1,
    time_limit: float = TIME_LIMIT,
    retry_failed: bool = False,
    backend: Backend | None = None,
    on_video: Callable[[Video, str | None], None] | None = None,
) -> Report:
    """Add the features of videos to a store, and return what became of them.

    Videos that the store holds are skipped. A video that cannot be read is written down in
    ``failures.jsonl`` in the store, with the reason, and the run goes on; later runs leave it out
    unless they retry. Videos are decoded in processes of their own while the model runs: one that
    hangs, or takes its decoder down, fails alone. A run that is killed loses only the videos that
    it was working on.

    Args:
        videos: files and their ids.
        encoder: what turns frames into rows.
        folder: the feature store; made, or added to.
        options: which frames; one a second by default.
        dtype: type of the numbers in the store.
        shard_size: most videos in a shard.
        batch: frames that are encoded at a time; rounded to whole steps of the encoder. Few suit
            the caches of a CPU, many a GPU.
        half: run the encoder in half precision; its features do not mix with others.
        workers: batches that are encoded at the same time, each by one thread.
        decoders: videos that are decoded at the same time, each by one process.
        time_limit: seconds that a decoder may be silent before its video fails.
        retry_failed: take only the videos that failed before.
        backend: where videos are decoded and encoded; by default here, by ``workers``,
            ``decoders`` and ``time_limit``. The bytes of the store do not depend on it.
        on_video: called when a video is done (None) or has failed (the reason).

    Raises:
        StoreError: the store was made with other options; each is named with both values.
        ConfigError: the options do not fit the encoder.
    """
    encoding = encoding_of(encoder, options or FrameOptions(), dtype, batch, half=half)
    _refuse_mixture(folder, encoding.made_by)
    report = Report()
    with StoreWriter(
        folder,
        dim=encoding.dim,
        grid=encoding.grid,
        dtype=dtype,
        fps=encoding.fps,
        encoder=encoding.made_by,
        shard_size=shard_size,
        append=True,
    ) as writer:
        failures = Failures(folder / FAILURES)
        there = writer.contains([video.id for video in videos]).tolist()
        absent = [video for video, known in zip(videos, there, strict=True) if not known]
        report.skipped = len(videos) - len(absent)
        todo = [video for video in absent if (video.id in failures) == retry_failed]
        backend = backend or LocalBackend(workers, decoders, time_limit)
        with closing(backend.features(todo, encoding)) as found:
            for features in found:
                reason = features.reason or _added(writer, encoding, features)
                failures.note(features.video, reason)
                report.extracted += reason is None
                if on_video is not None:
                    on_video(features.video, reason)
    report.failures = [failures[video.id] for video in absent if video.id in failures]
    return report


def _refuse_mixture(folder: Path, made_by: Mapping[str, Any]) -> None:
    """Raise where a store was made by another encoder, naming what differs.

    The writer would refuse too, but show all options of both at once.
    """
    if (folder / NAME).exists():
        refuse_mixture(folder, read_manifest(folder).encoder, made_by)


def _added(writer: StoreWriter, encoding: Encoding, features: Features) -> str | None:
    """Add features to the store; return the reason where they are no good."""
    if not all(np.isfinite(part.rows).all() for part in features.parts):
        return "its features are not finite"
    if not any(len(part.rows) for part in features.parts):
        return "it is too short for a single row"
    rows, times, n_valid = encoding.whole(features.parts)
    writer.add(
        features.video.id,
        rows,
        duration=features.duration,
        times=times,
        source=str(features.video.path),
        n_valid=n_valid,
    )
    return None
