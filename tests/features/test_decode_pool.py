"""Decoding in processes: what they answer, and what becomes of one that dies or hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from mmvt.features.decode_pool import Chunk, DecodePool
from mmvt.features.find import Video
from mmvt.features.reader import read_frames
from tests.videos import numbered_frame, write_frames

READING = {"fps": 15.0, "num_segments": None, "short_side": 48, "crop": 48, "chunk": 3}
LARGE = {**READING, "fps": 30.0, "short_side": 224, "crop": 224}  # more than pipes take


def write_videos(folder: Path, lengths: Iterable[int]) -> list[Video]:
    return [
        Video(f"v{number}", write_frames(folder / f"v{number}.mp4", frames_of(length, number)))
        for number, length in enumerate(lengths)
    ]


def frames_of(length: int, first: int) -> list[np.ndarray]:
    return [numbered_frame((first + index) % 256) for index in range(length)]


def decoders() -> list[int]:
    """Return the ids of this process's decoders."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_text()
        except OSError:
            continue  # it has just ended
        if parent == os.getpid() and "mmvt.features.decoder" in command:
            found.append(int(folder.name))
    return found


def by_video(chunks: Iterable[Chunk]) -> dict[str, list[Chunk]]:
    videos: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        videos.setdefault(chunk.video.id, []).append(chunk)
    return videos


def collect(pool: DecodePool, videos: list[Video]) -> dict[str, list[Chunk]]:
    def finishing() -> Iterable[Chunk]:
        for chunk in pool.chunks(videos):
            yield chunk
            if chunk.frames is None:
                pool.done()

    return by_video(finishing())


@pytest.mark.parametrize("count", [1, 3])
def test_frames_are_those_of_a_reader_in_this_process(tmp_path: Path, count: int):
    videos = write_videos(tmp_path, [10, 1, 37, 20, 4, 9])
    with DecodePool(count, READING) as pool:
        found = collect(pool, videos)
    assert set(found) == {video.id for video in videos}
    for video in videos:
        *chunks, end = found[video.id]
        expected = [(f.copy(), t.copy()) for f, t in read_frames(video.path, **READING)]
        assert len(chunks) == len(expected)
        for chunk, (frames, times) in zip(chunks, expected, strict=True):
            assert np.array_equal(chunk.frames, frames)
            assert np.array_equal(chunk.times, times)
        assert (end.frames, end.reason) == (None, None)
        assert end.duration == pytest.approx([10, 1, 37, 20, 4, 9][int(video.id[1])] / 30, abs=0.01)
    assert decoders() == []


@pytest.mark.faults
def test_a_video_that_cannot_be_read_fails_with_its_reason_and_alone(tmp_path: Path):
    good, bad = write_videos(tmp_path, [4, 4])
    bad.path.write_bytes(b"no video at all")
    gone = Video("gone", tmp_path / "gone.mp4")
    with DecodePool(1, READING) as pool:
        found = collect(pool, [bad, gone, good])
    assert found["v1"][0].reason == "is no video, or lacks its header"
    assert found["gone"][0].reason == "No such file or directory"
    assert found["v0"][-1].reason is None


@pytest.mark.faults
def test_t21_a_killed_decoder_fails_its_video_alone(tmp_path: Path):
    videos = write_videos(tmp_path, [60, 5, 5])
    with DecodePool(1, LARGE) as pool:
        chunks = pool.chunks(videos)
        first = next(chunks)
        (decoder,) = decoders()
        os.kill(decoder, signal.SIGKILL)
        found = by_video([first, *chunks])
    assert found["v0"][-1].reason == "its decoder was killed by SIGKILL"
    assert [found[name][-1].reason for name in ("v1", "v2")] == [None, None]
    assert decoders() == []


@pytest.mark.faults
def test_t05_a_decoder_that_hangs_fails_its_video_after_the_time_limit(tmp_path: Path):
    videos = write_videos(tmp_path, [60, 5])
    with DecodePool(1, LARGE, time_limit=5.0) as pool:
        chunks = pool.chunks(videos)
        first = next(chunks)
        (decoder,) = decoders()
        os.kill(decoder, signal.SIGSTOP)
        found = by_video([first, *chunks])
    assert found["v0"][-1].reason == "its decoder gave no sign of life for 5 s"
    assert found["v1"][-1].reason is None
    assert decoders() == []


@pytest.mark.faults
def test_t05_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path: Path):
    (good,) = write_videos(tmp_path, [5])
    os.mkfifo(tmp_path / "pipe.mp4")
    with DecodePool(1, READING) as pool:
        found = collect(pool, [Video("pipe", tmp_path / "pipe.mp4"), good])
    assert found["pipe"][0].reason == "is no regular file"
    assert found["v0"][-1].reason is None


def test_a_consumer_that_stops_early_leaves_no_process(tmp_path: Path):
    videos = write_videos(tmp_path, [60] * 6)
    with DecodePool(2, LARGE) as pool:
        assert next(pool.chunks(videos)).frames is not None
        assert decoders() != []
    assert decoders() == []


def test_decoders_wait_for_a_consumer_that_is_behind(tmp_path: Path):
    videos = write_videos(tmp_path, [2] * 12)
    with DecodePool(1, READING) as pool:
        chunks = pool.chunks(videos)
        seen = [next(chunks) for _ in range(8)]  # frames and end of four videos
        assert {chunk.video.id for chunk in seen} == {"v0", "v1", "v2", "v3"}
        for _ in range(4):
            pool.done()
        assert {next(chunks).video.id for _ in range(8)} == {"v4", "v5", "v6", "v7"}


@pytest.mark.parametrize("name", ["ä ö.mp4", "a\nb.mp4", "-rf.mp4", "'; touch x; '.mp4"])
def test_any_file_name_reaches_the_decoder(tmp_path: Path, name: str):
    video = Video("v", write_frames(tmp_path / name, frames_of(4, 0)))
    with DecodePool(1, READING) as pool:
        assert collect(pool, [video])["v"][-1].reason is None
