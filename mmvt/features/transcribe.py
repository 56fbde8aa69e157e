"""The run that writes down what is said in many videos; resumed where it stopped."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from mmvt.errors import DataError, StoreError
from mmvt.features.decode_pool import TIME_LIMIT, Chunk, DecodePool
from mmvt.features.find import Failure, Video
from mmvt.features.resume import FAILURES, Failures, refuse_mixture
from mmvt.features.speech import SpeechRecogniser
from mmvt.files import atomic_write_json, locked
from mmvt.processors.transcript import Transcript, write_transcript
from mmvt.processors.transcript_files import read_transcript

logger = logging.getLogger(__name__)

TRANSCRIPTS = "transcripts"
MANIFEST = "manifest.json"
LOCK = ".lock"
# sound is transcribed in parts of ten minutes, so that memory does not grow with its length
PART_SECONDS = 600
_CUT_SECONDS = 30
_QUIET_SECONDS = 0.2
_BAD_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL)


@dataclass
class TranscribeReport:
    """The outcome of a run.

    Attributes:
        transcribed: videos whose transcripts were written.
        skipped: videos whose transcripts were there.
        words: words that were written.
        left_out: stretches in which the model repeated itself, and which have no words.
        failures: videos without a transcript, those that failed in earlier runs included.
    """

    transcribed: int = 0
    skipped: int = 0
    words: int = 0
    left_out: int = 0
    failures: list[Failure] = field(default_factory=list)


def transcribe(
    videos: Sequence[Video],
    recogniser: SpeechRecogniser,
    folder: Path,
    *,
    time_limit: float = TIME_LIMIT,
    retry_failed: bool = False,
    on_video: Callable[[Video, str | None], None] | None = None,
) -> TranscribeReport:
    """Write a transcript for each video, and return what became of them.

    They are ``transcripts/<id>.json`` in ``folder``. Videos whose transcript is there are skipped.
    One that cannot be read, or has no sound, is written down in ``failures.jsonl`` with the reason,
    and the run goes on; later runs leave it out unless they retry. Sound is decoded in a process
    of its own: a video that makes it hang or die fails alone.

    Args:
        videos: files and their ids.
        recogniser: writes down what is said.
        folder: made, or added to.
        time_limit: seconds that the decoder may be silent before its video fails.
        retry_failed: take only the videos that failed before.
        on_video: called when a video is done (None) or has failed (the reason).

    Raises:
        StoreError: the folder has transcripts that were made otherwise, each option is named with
            both values; it cannot be written; or another process is writing to it.
    """
    report = TranscribeReport()
    try:
        with locked(folder / LOCK, "these transcripts"):
            _begin(folder, recogniser.fingerprint)
            failures = Failures(folder / FAILURES)
            absent = [video for video in videos if not _is_done(_path(folder, video))]
            report.skipped = len(videos) - len(absent)
            todo = [video for video in absent if (video.id in failures) == retry_failed]
            with closing(_heard(todo, recogniser, time_limit)) as heard:
                for video, transcript, reason in heard:
                    reason = reason or _written(_path(folder, video), transcript)
                    failures.note(video, reason)
                    if reason is None:
                        report.transcribed += 1
                        report.words += len(transcript.words)
                        report.left_out += transcript.left_out
                    if on_video is not None:
                        on_video(video, reason)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error
    report.failures = [failures[video.id] for video in absent if video.id in failures]
    return report


def _begin(folder: Path, made_by: Mapping[str, Any]) -> None:
    """Write down how transcripts are made; refuse those that were made otherwise."""
    for torn in (folder / TRANSCRIPTS).rglob(".*.tmp"):  # of a run that was killed
        torn.unlink()
    manifest = folder / MANIFEST
    if not manifest.exists():
        if any((folder / TRANSCRIPTS).glob("*")):
            raise StoreError(f"{folder / TRANSCRIPTS} is not empty, and {manifest} is not there")
        atomic_write_json(manifest, {"made_by": dict(made_by)})
        return
    try:
        there = dict(json.loads(manifest.read_bytes())["made_by"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{manifest}: is damaged: {error!r}") from error
    refuse_mixture(folder, there, json.loads(json.dumps(dict(made_by))))


def _path(folder: Path, video: Video) -> Path:
    return folder / TRANSCRIPTS / f"{video.id}.json"


def _is_done(path: Path) -> bool:
    """Return whether a transcript is there, whole."""
    try:
        if not path.is_file():
            return False
        read_transcript(path)
    except DataError as error:
        logger.warning("written anew: %s", error)
        return False
    except OSError:  # no name of a file
        return False
    return True


def _written(path: Path, transcript: Transcript) -> str | None:
    """Write a transcript; return the reason where its name is none for a file."""
    try:
        write_transcript(path, transcript)
    except OSError as error:
        if error.errno in _BAD_NAME:
            return f"its transcript cannot be a file: {error.strerror}"
        raise
    return None


def _heard(
    videos: Sequence[Video], recogniser: SpeechRecogniser, time_limit: float
) -> Generator[tuple[Video, Transcript, str | None], None, None]:
    """Yield each video with what is said in it, or the reason why it failed."""
    rate = recogniser.sample_rate
    sound = {"rate": rate, "window": _CUT_SECONDS * rate, "hop": _CUT_SECONDS * rate}
    with DecodePool(1, {"sound": sound}, time_limit=time_limit) as pool:
        parts: list[Transcript] = []
        waiting = np.empty(0, np.float32)
        done = 0
        for chunk in pool.chunks(videos):
            waiting = _appended(waiting, chunk)
            is_end = chunk.times is None
            if is_end or len(waiting) >= PART_SECONDS * rate:
                cut = len(waiting) if is_end else quietest(waiting, _CUT_SECONDS * rate, rate)
                if chunk.reason is None:
                    parts.append(_shifted(recogniser(waiting[:cut]), done / rate))
                waiting, done = waiting[cut:], done + cut
            if is_end:
                pool.done()
                yield chunk.video, _joined(parts), chunk.reason
                parts, done = [], 0


def _appended(
    waiting: Float32[np.ndarray, " samples"], chunk: Chunk
) -> Float32[np.ndarray, " more"]:
    return waiting if chunk.samples is None else np.concatenate([waiting, chunk.samples])


def quietest(samples: Float32[np.ndarray, " samples"], within: int, rate: int) -> int:
    """Return the middle of the quietest moment near the end of sound, where a word is least likely.

    Args:
        samples: mono sound.
        within: so many of the last samples are looked through.
        rate: samples a second.
    """
    length = max(1, round(_QUIET_SECONDS * rate))
    first = max(0, len(samples) - within)
    moments = np.abs(samples[first : first + (len(samples) - first) // length * length])
    if not len(moments):
        return len(samples)
    loudness = moments.reshape(-1, length).mean(axis=1)
    return first + int(loudness.argmin()) * length + length // 2


def _shifted(transcript: Transcript, seconds: float) -> Transcript:
    words = tuple(
        replace(w, start=round(w.start + seconds, 3), end=round(w.end + seconds, 3))
        for w in transcript.words
    )
    return replace(transcript, words=words)


def _joined(parts: Iterable[Transcript]) -> Transcript:
    parts = list(parts)
    return Transcript(
        tuple(word for part in parts for word in part.words),
        next((part.language for part in parts if part.language), None),
        sum(part.left_out for part in parts),
    )
