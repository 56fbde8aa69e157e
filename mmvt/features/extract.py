"""The run over many videos: decode, encode, store; resumed where it stopped."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from mmvt.config.fields import REQUIRED, convert, fields_of
from mmvt.datasets.manifest import NAME, read_manifest
from mmvt.errors import ConfigError, StoreError, did_you_mean
from mmvt.features.base import FeatureEncoder
from mmvt.features.decode_pool import TIME_LIMIT, Chunk, DecodePool
from mmvt.features.find import Failure, Video
from mmvt.features.shard import StoreWriter
from mmvt.files import atomic_write_text
from mmvt.plugins import load_plugins

FAILURES = "failures.jsonl"


@dataclass(frozen=True)
class FrameOptions:
    """Which frames of a video are encoded, and how large.

    Attributes:
        fps: feature steps a second; 1 where neither this nor ``num_segments`` is given.
        num_segments: feature steps a video: a frame from the middle of each of as many equal
            parts. The store then has no constant rate, which it states as 0 steps a second.
        short_side: pixels to which the shorter side is scaled before the centre is cut out; by
            default the frame size of the encoder, so that nothing is cut off a square video.
    """

    fps: float | None = None
    num_segments: int | None = None
    short_side: int | None = None


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


def build_encoder(name: str, options: Mapping[str, Any]) -> FeatureEncoder:
    """Return a feature encoder by its class name.

    Args:
        name: name of the plugin, such as ``EfficientNetLite0``.
        options: arguments of its constructor.

    Raises:
        PluginError: there is no such encoder.
        ConfigError: an option is unknown, missing or of the wrong type.
    """
    cls: type[FeatureEncoder] = load_plugins().get("feature_encoder", name)
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
    return cls(**values)


def extract(
    videos: Sequence[Video],
    encoder: FeatureEncoder,
    folder: Path,
    options: FrameOptions = FrameOptions(),
    *,
    dtype: str = "float16",
    shard_size: int = 512,
    batch: int = 4,
    workers: int = 1,
    decoders: int = 1,
    time_limit: float = TIME_LIMIT,
    retry_failed: bool = False,
    on_video: Callable[[Video, str | None], None] | None = None,
) -> Report:
    """Add the features of videos to a store and return what became of them.

    Videos that the store holds are skipped. A video that cannot be read is written down in
    ``failures.jsonl`` in the store, with the reason, and the run goes on; later runs leave it out
    unless they retry. Videos are decoded in processes of their own while the model runs: one that
    hangs, or takes its decoder down, fails alone. A run that is killed loses only the videos that
    it was working on.

    Args:
        videos: files and their ids.
        encoder: what turns frames into rows.
        folder: the feature store; made, or added to.
        options: which frames.
        dtype: type of the numbers in the store.
        shard_size: most videos in a shard.
        batch: frames that are encoded at a time; rounded to whole steps of the encoder. Few suit
            the caches of a CPU, many a GPU.
        workers: batches that are encoded at the same time, each by one thread.
        decoders: videos that are decoded at the same time, each by one process.
        time_limit: seconds that a decoder may be silent before its video fails.
        retry_failed: take only the videos that failed before.
        on_video: called when a video is done (None) or has failed (the reason).

    Raises:
        StoreError: the store was made with other options; each is named with both values.
        ConfigError: the options do not fit the encoder.
    """
    rates = _rates(encoder, options)
    made_by = _made_by(encoder, options)
    _refuse_mixture(folder, made_by)
    report = Report()
    with StoreWriter(
        folder,
        dim=encoder.dim,
        grid=encoder.grid,
        dtype=dtype,
        fps=rates.steps,
        encoder=made_by,
        shard_size=shard_size,
        append=True,
    ) as writer:
        failures = _Failures(folder / FAILURES)
        absent = [video for video in videos if video.id not in writer]
        report.skipped = len(videos) - len(absent)
        todo = [video for video in absent if (video.id in failures) == retry_failed]
        reading = _reading(encoder, options, rates, batch)
        with DecodePool(decoders, reading, time_limit=time_limit) as pool:
            encoded = _in_parallel(pool.chunks(todo), encoder, dtype, workers)
            for features in _in_order(_whole(encoded, encoder.clip_frames)):
                pool.done()
                reason = features.reason or _added(writer, features)
                failures.note(features.video, reason)
                report.extracted += reason is None
                if on_video is not None:
                    on_video(features.video, reason)
    report.failures = [failures[video.id] for video in absent if video.id in failures]
    return report


@dataclass(frozen=True)
class _Rates:
    frames: float | None
    steps: float


@dataclass(frozen=True)
class _Features:
    """All features of a video, or the reason why there are none."""

    end: Chunk
    rows: list[np.ndarray]
    times: list[np.ndarray]

    @property
    def video(self) -> Video:
        return self.end.video

    @property
    def reason(self) -> str | None:
        return self.end.reason


class _Failures(dict[str, Failure]):
    """The failures of a store, by id; the file follows every change."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            self.update({item.id: item for item in (Failure(**json.loads(line)) for line in lines)})
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(f"{path} is damaged ({error}); remove it to try again") from error

    def note(self, video: Video, reason: str | None) -> None:
        """Write down that a video failed, or that it no longer does."""
        if reason is not None:
            self[video.id] = Failure(video.id, str(video.path), reason)
        elif self.pop(video.id, None) is None:
            return
        lines = [json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in self.values()]
        atomic_write_text(self._path, "".join(lines))


def _rates(encoder: FeatureEncoder, options: FrameOptions) -> _Rates:
    """Return frames a second to decode (None: segments) and feature steps a second."""
    native = encoder.frames_per_second
    if options.num_segments is not None:
        if options.fps is not None:
            raise ConfigError("give fps or num_segments, not both")
        if encoder.clip_frames > 1 or native is not None:
            raise ConfigError(
                f"{type(encoder).__name__} takes clips of consecutive frames, no segments"
            )
        return _Rates(None, 0.0)
    if native is None:
        steps = 1.0 if options.fps is None else options.fps
        return _Rates(steps * encoder.clip_frames, steps)
    steps = native / encoder.clip_frames
    if options.fps not in (None, steps):
        raise ConfigError(f"{type(encoder).__name__} gives {steps:g} steps a second; leave fps out")
    return _Rates(native, steps)


def _made_by(encoder: FeatureEncoder, options: FrameOptions) -> dict[str, Any]:
    """Return all that must be equal for features to go into one store."""
    frames = asdict(options) | {"short_side": options.short_side or encoder.frame_size}
    del frames["fps"]  # the store has it
    made_by: dict[str, Any] = json.loads(json.dumps({**encoder.fingerprint, "frames": frames}))
    return made_by


def _refuse_mixture(folder: Path, made_by: Mapping[str, Any]) -> None:
    """Raise where a store was made by another encoder, naming what differs.

    The writer would refuse too, but show all options of both at once.
    """
    if not (folder / NAME).exists():
        return
    there, ours = _flat(read_manifest(folder).encoder), _flat(made_by)
    problems = [
        f"{key} is {there.get(key)!r}, not {ours.get(key)!r}"
        for key in sorted({*there, *ours})
        if there.get(key) != ours.get(key)
    ]
    if problems:
        raise StoreError(f"{folder} was made with other options: {'; '.join(problems)}")


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in options.items():
        inner = _flat(value) if isinstance(value, Mapping) else {"": value}
        flat |= {f"{key}.{name}" if name else key: item for name, item in inner.items()}
    return flat


def _reading(
    encoder: FeatureEncoder, options: FrameOptions, rates: _Rates, batch: int
) -> dict[str, Any]:
    """Return the arguments of ``read_frames`` but the path."""
    return {
        "fps": rates.frames,
        "num_segments": options.num_segments,
        "short_side": options.short_side or encoder.frame_size,
        "crop": encoder.frame_size,
        "chunk": max(1, batch // encoder.clip_frames) * encoder.clip_frames,
    }


def _in_parallel(
    chunks: Iterable[Chunk], encoder: FeatureEncoder, dtype: str, workers: int
) -> Iterator[tuple[Chunk, np.ndarray | None]]:
    """Yield chunks with their rows, in the order they came, several being encoded at a time.

    Workers with one thread each do not wait for each other at every layer, as the threads of one
    operation do: on a busy machine that makes several times the difference. It also makes the
    rows independent of their number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if workers == 1:  # in this thread, whose memory the encoder has used before
            for chunk in chunks:
                yield chunk, _rows(chunk.frames, encoder, dtype)
            return
        waiting: deque[tuple[Chunk, Future[np.ndarray | None]]] = deque()
        with ThreadPoolExecutor(workers, "encode", torch.set_num_threads, (1,)) as pool:
            for chunk in chunks:
                waiting.append((chunk, pool.submit(_rows, chunk.frames, encoder, dtype)))
                if len(waiting) > workers:
                    first, rows = waiting.popleft()
                    yield first, rows.result()
            while waiting:
                first, rows = waiting.popleft()
                yield first, rows.result()
    finally:
        torch.set_num_threads(threads)


def _whole(
    chunks: Iterable[tuple[Chunk, np.ndarray | None]], clip_frames: int
) -> Iterator[_Features]:
    """Yield each video when its last chunk has come."""
    open_videos: dict[int, tuple[list[np.ndarray], list[np.ndarray]]] = {}
    for chunk, encoded in chunks:
        rows, times = open_videos.setdefault(chunk.number, ([], []))
        if encoded is None or chunk.times is None:
            yield _Features(chunk, *open_videos.pop(chunk.number))
        else:
            rows.append(encoded)
            times.append(chunk.times[::clip_frames])


def _in_order(videos: Iterable[_Features]) -> Iterator[_Features]:
    """Yield videos by their numbers, without a gap."""
    waiting: dict[int, _Features] = {}
    number = 0
    for video in videos:
        waiting[video.end.number] = video
        while number in waiting:
            yield waiting.pop(number)
            number += 1


def _rows(
    frames: UInt8[np.ndarray, "n height width 3"] | None, encoder: FeatureEncoder, dtype: str
) -> Float[np.ndarray, "steps *grid dim"] | None:
    if frames is None:
        return None
    filled = _filled(frames, encoder.clip_frames)
    with np.errstate(over="ignore"):  # what became infinite is refused as a whole
        steps = encoder.encode(torch.from_numpy(filled)).numpy().astype(dtype)
    return steps[:, 0] if encoder.grid == 1 else steps


def _filled(
    frames: UInt8[np.ndarray, "n height width 3"], clip_frames: int
) -> UInt8[np.ndarray, "m height width 3"]:
    """Return frames that make whole steps, the last one repeated where some are missing."""
    lacking = -len(frames) % clip_frames
    return np.concatenate([frames, np.repeat(frames[-1:], lacking, axis=0)]) if lacking else frames


def _added(writer: StoreWriter, features: _Features) -> str | None:
    """Add features to the store; return the reason where they are no good."""
    if not all(np.isfinite(rows).all() for rows in features.rows):
        return "its features are not finite"
    writer.add(
        features.video.id,
        np.concatenate(features.rows),
        duration=features.end.duration,
        times=np.concatenate(features.times),
        source=str(features.video.path),
    )
    return None
