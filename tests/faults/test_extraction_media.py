"""Files that are no whole videos (T01 to T08): named, counted, and never the end of a run."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import signal
import struct
import subprocess
import threading
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from typing_extensions import override

from mmvt.datasets.store import FeatureStore
from mmvt.features.audio import SoundChunk, read_sound
from mmvt.features.extract import FrameOptions
from mmvt.features.reader import FrameChunk, read_frames
from mmvt_cli import extract
from tests.faults.runs import SMALL_CLIPS, ColourEncoder, decoders_of, is_alive, reasons, run
from tests.videos import number_of, numbered_frame, write_frames, write_sound, write_video

pytestmark = [pytest.mark.faults, pytest.mark.extraction]

ENCODER = "EfficientNetLite0:frame_size=32"


class ClipEncoder(ColourEncoder):
    """Returns the mean colour of each second, of 30 frames."""

    def __init__(self) -> None:
        super().__init__()
        self.clip_frames, self.frames_per_second = 30, 30.0

    @override
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return super().encode(frames).unflatten(0, (-1, 30)).mean(dim=1)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def index_first(source: Path, target: Path) -> Path:
    """Copy a clip with its index before its frames, so that a cut leaves frames to decode."""
    with (
        av.open(str(source)) as old,
        av.open(str(target), "w", options={"movflags": "+faststart"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


# --- T01, T02, T03


def test_t01_a_clip_cut_in_half_is_listed_as_failed_and_has_no_rows(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index_first(clips / SMALL_CLIPS[0], clips / "cut.mp4")
    shutil.copy(clips / SMALL_CLIPS[3], clips / "cut.mkv")
    shutil.copy(clips / SMALL_CLIPS[1], clips / "plain.mp4")
    for name in ("cut.mp4", "cut.mkv", "plain.mp4"):
        cut_in_half(clips / name)
    out = tmp_path / "store"
    argv = [str(clips), "--encoder", ENCODER, "--fps", "1", "--out", str(out)]
    assert extract.main(argv) == 3
    table = capsys.readouterr().out
    assert "4 extracted, 0 there already, 3 failed" in table
    lines = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    found = {line["id"]: line["reason"] for line in lines}
    assert set(found) == {"cut.mp4", "cut.mkv", "plain.mp4"}
    assert "cut off" in found["cut.mkv"]
    assert all(name in table for name in found)
    store = FeatureStore.open(out, verify="full")
    assert sorted(store.ids) == sorted(SMALL_CLIPS)
    assert all(np.abs(store[name]).max() > 0 for name in store.ids)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 0.9])
def test_t01_wherever_a_clip_is_cut_it_fails(clips: Path, tmp_path: Path, share: float) -> None:
    videos = tmp_path / "cut"
    videos.mkdir()
    index_first(clips / SMALL_CLIPS[2], videos / "a.mp4")
    shutil.copy(clips / SMALL_CLIPS[3], videos / "b.mkv")
    for path in videos.iterdir():
        os.truncate(path, int(path.stat().st_size * share))
    for frames in (FrameOptions(fps=1.0), FrameOptions(num_segments=2)):
        store = tmp_path / f"store{frames.fps}"
        report = run(videos, store, frames=frames)
        assert (report.extracted, set(reasons(report))) == (0, {"a.mp4", "b.mkv"})


def test_t02_what_is_no_video_fails_with_its_reason_and_the_run_goes_on(
    clips: Path, tmp_path: Path
) -> None:
    (clips / "0 bytes.mp4").touch()
    (clips / "text.mp4").write_text("once upon a time\n" * 500)
    data = (clips / SMALL_CLIPS[0]).read_bytes()
    (clips / "no index.mp4").write_bytes(data.replace(b"moov", b"junk"))
    report = run(clips, tmp_path / "store")
    assert report.extracted == 4
    assert reasons(report) == {
        "0 bytes.mp4": "is empty (0 bytes)",
        "text.mp4": "is no video, or lacks its header",
        "no index.mp4": "is no video, or lacks its header",
    }


def test_t03_sound_alone_fails_and_short_videos_have_rows(clips: Path, tmp_path: Path) -> None:
    videos = tmp_path / "short"
    videos.mkdir()
    write_sound(videos / "sound.mp4")
    with av.open(str(videos / "no frames.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    write_video(videos / "one.mp4", 1)
    write_video(videos / "fifth.mp4", 6)  # 0.2 s
    report = run(videos, tmp_path / "store", frames=FrameOptions(fps=1.0))
    assert set(reasons(report)) == {"sound.mp4", "no frames.mkv"}
    assert "has no video stream" in reasons(report)["sound.mp4"]
    store = FeatureStore.open(tmp_path / "store")
    assert {name: len(store[name]) for name in store.ids} == {"one.mp4": 1, "fifth.mp4": 1}
    clip = ClipEncoder()
    run(videos, tmp_path / "clips", frames=FrameOptions(), encoder=clip)  # takes whole seconds
    rows = FeatureStore.open(tmp_path / "clips")["fifth.mp4"]
    frames = np.concatenate(
        [
            part.frames.copy()
            for part in read_frames(videos / "fifth.mp4", fps=30.0, short_side=32, crop=32)
        ]
    )
    assert (len(rows), len(frames), clip.seen) == (1, 6, 60)
    colours = frames.reshape(6, -1, 3).mean(axis=1)
    stands_still = np.concatenate([colours, np.repeat(colours[-1:], 24, axis=0)])
    np.testing.assert_allclose(rows[0], stands_still.mean(axis=0), rtol=1e-2)
    report = run(videos, tmp_path / "parts")  # two frames a video, even of one
    store = FeatureStore.open(tmp_path / "parts")
    assert {name: len(store[name]) for name in store.ids} == {"one.mp4": 2, "fifth.mp4": 2}


# --- T04


def real_frames(path: Path, count: int, width: int, height: int) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        frames = container.decode(container.streams.video[0])
        return [next(frames).reformat(width, height, "rgb24").to_ndarray() for _ in range(count)]


KINDS = {
    "variable": {"ticks": [n + n // 3 * 2 + n // 7 * 5 for n in range(45)]},
    "rotated": {"rotation": 90},
    "late": {"ticks": list(range(37, 82))},
    "ten bits": {
        "codec": "libx265",
        "pix_fmt": "yuv420p10le",
        "options": {"x265-params": "log-level=none:pools=1"},
    },
    "odd": {"pix_fmt": "yuv444p"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_t04_both_ways_to_decode_show_the_same_frames_at_the_same_times(
    clips: Path, tmp_path: Path, kind: str
) -> None:
    width, height = (75, 51) if kind == "odd" else (96, 64)
    frames = real_frames(clips / SMALL_CLIPS[0], 45, width, height)
    path = write_frames(tmp_path / "v.mp4", frames, **KINDS[kind])
    straight = [
        (seconds, picture.tobytes())
        for chunk in read_frames(path, fps=30.0)
        for seconds, picture in zip(chunk.times, chunk.frames, strict=True)
    ]
    sparse = [
        (seconds, picture.tobytes())
        for chunk in read_frames(path, num_segments=7)
        for seconds, picture in zip(chunk.times, chunk.frames, strict=True)
    ]
    assert len(sparse) == 7
    for seconds, picture in sparse:
        same = [time for time, other in straight if other == picture]
        assert min(abs(time - seconds) for time in same) <= 1 / 30 + 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [{"fps": 30.0}, {"fps": 10.0}, {"num_segments": 7}])
def test_t04_each_frame_is_shown_at_the_time_that_was_written(
    tmp_path: Path, kind: str, way: dict[str, Any]
) -> None:
    options = {"options": {"g": "10", "crf": "5"}, **KINDS[kind]}
    width, height = (75, 51) if kind == "odd" else (96, 64)
    frames = [numbered_frame(number, width, height) for number in range(45)]
    path = write_frames(tmp_path / "v.mp4", frames, **options)
    ticks = options.get("ticks", list(range(45)))
    count = 0
    for chunk in read_frames(path, **way):
        for picture, seconds in zip(chunk.frames, chunk.times, strict=True):
            number = number_of(np.rot90(picture, -1) if kind == "rotated" else picture)
            on_display = [n for n, tick in enumerate(ticks) if (tick - ticks[0]) / 30 <= seconds]
            count += 1
            assert abs(number - (on_display[-1])) <= 1, seconds
    assert count == way.get("num_segments", count)
    assert count >= 7


@pytest.mark.may_skip("ffmpeg is not needed; known times are tested without it")
@pytest.mark.parametrize("kind", KINDS)
def test_t04_frames_are_those_of_the_ffmpeg_command(clips: Path, tmp_path: Path, kind: str) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("there is no ffmpeg command")
    width, height = (75, 51) if kind == "odd" else (96, 64)
    frames = real_frames(clips / SMALL_CLIPS[0], 45, width, height)
    path = write_frames(tmp_path / "v.mp4", frames, **KINDS[kind])
    words = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", "fps=10:start_time=0"]
    words += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(words, capture_output=True, check=True).stdout
    ours = np.concatenate([chunk.frames.copy() for chunk in read_frames(path, fps=10.0)])
    theirs = np.frombuffer(raw, np.uint8).reshape(-1, *ours.shape[1:])
    # how long the last frame stays is told by the file, and not used by every ffmpeg
    assert len(ours) >= len(theirs) - 1
    assert all((frame == ours[-1]).all() for frame in ours[len(theirs) :])
    for place in range(min(len(ours), len(theirs))):  # at the same time, a frame more or less
        near = theirs[max(0, place - 1) : place + 2].astype(int)
        difference = np.abs(near - ours[place].astype(int)).mean(axis=(1, 2, 3))
        assert difference.min() < 3


# --- T05


def test_t05_a_decoder_that_hangs_is_killed_and_the_pool_goes_on(
    clips: Path, tmp_path: Path
) -> None:
    stopped: list[int] = []

    def stop_first(*arguments: object) -> None:
        if not stopped:
            stopped.extend(decoders_of(os.getpid()))
            os.kill(stopped[0], signal.SIGSTOP)

    (clips / "0 first.mp4").touch()  # its failure tells that the decoder is at work
    report = run(clips, tmp_path / "store", time_limit=5.0, on_video=stop_first)
    found = reasons(report)
    assert found.pop("0 first.mp4") == "is empty (0 bytes)"
    assert list(found.values()) == ["its decoder gave no sign of life for 5 s"]
    assert report.extracted == 3
    assert not is_alive(stopped[0])
    assert decoders_of(os.getpid()) == []


def test_t05_a_pipe_is_refused_and_nobody_waits_for_it(clips: Path, tmp_path: Path) -> None:
    os.mkfifo(clips / "pipe.mp4")
    report = run(clips, tmp_path / "store")
    assert report.extracted == 4
    assert reasons(report) == {"pipe.mp4": "is no regular file"}


# --- T06


@contextlib.contextmanager
def server(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder; yield the address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    made = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: Handler(*arguments, directory=str(folder))
    )
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}", asked
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("name", ["list.avi", "list.mp4"])
def test_t06_a_playlist_in_disguise_is_refused_and_opens_nothing(
    clips: Path, tmp_path: Path, kind: str, name: str
) -> None:
    videos = tmp_path / "lists"
    with server(clips) as (address, asked):
        for place, target in enumerate(
            [
                "file:///etc/hostname",
                f"file://{clips / SMALL_CLIPS[0]}",
                str(clips / SMALL_CLIPS[0]),
                f"{address}/{SMALL_CLIPS[0]}",
            ]
        ):
            (videos / str(place)).mkdir(parents=True)
            (videos / str(place) / name).write_text(PLAYLISTS[kind].format(target))
        report = run(videos, tmp_path / "store")
    unknown = {"is no video, or lacks its header", "is no video file of a known container"}
    assert set(reasons(report).values()) <= unknown
    assert (report.extracted, len(report.failures), asked) == (0, 4, [])


# --- T07


def test_t07_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    videos = tmp_path / "bombs"
    videos.mkdir()
    for side in (12_000, 20_000):  # the second is too large for FFmpeg itself
        screen = struct.pack("<6sHHBBB", b"GIF89a", side, side, 0x80, 0, 0) + bytes(6)
        image = struct.pack("<BHHHHB", 0x2C, 0, 0, side, side, 0)
        (videos / f"{side}.gif").write_bytes(screen + image + b"\x02\x02\x44\x01\x00\x3b")
    frames = [np.zeros((48, 64, 3), np.uint8)] * 2
    write_frames(videos / "long.mp4", frames, ticks=[0, 10 * 3600 * 30])
    report = run(videos, tmp_path / "store")
    assert report.extracted == 0
    for side in (12_000, 20_000):
        assert "more than 37748736" in reasons(report)[f"{side}.gif"]
    assert reasons(report)["long.mp4"].endswith("s long, more than 21600 s")


# --- T08


def pictures_of(chunks: Iterator[FrameChunk], answers: SimpleQueue[int]) -> None:
    answers.put(sum(hash(chunk.frames.tobytes()) for chunk in chunks))


def test_t08_a_reader_made_before_a_fork_opens_its_file_in_each_process(clips: Path) -> None:
    path = clips / SMALL_CLIPS[0]
    expected = sum(hash(chunk.frames.tobytes()) for chunk in read_frames(path, fps=10.0))
    reader = read_frames(path, fps=10.0)
    context = get_context("fork")
    answers = context.SimpleQueue()
    children = [context.Process(target=pictures_of, args=(reader, answers)) for _ in range(3)]
    for child in children:
        child.start()
    pictures_of(reader, answers)
    assert [answers.get() for _ in range(4)] == [expected] * 4
    for child in children:
        child.join()


def test_t08_frames_and_sound_that_were_begun_before_a_fork_go_on_in_each_process(
    clips: Path, tmp_path: Path
) -> None:
    def opened() -> list[Iterator[FrameChunk] | Iterator[SoundChunk]]:
        return [
            read_frames(clips / SMALL_CLIPS[2], fps=25.0, chunk=4),
            read_frames(clips / SMALL_CLIPS[3], num_segments=20, chunk=3),
            read_sound(write_sound(tmp_path / "a.mp4"), window=1600),
        ]

    def left(part: FrameChunk | SoundChunk) -> bytes:
        return part[0].tobytes()

    expected = [[left(part) for part in parts] for parts in opened()]
    begun = opened()
    for parts, straight in zip(begun, expected, strict=True):
        assert [left(next(parts)), left(next(parts))] == straight[:2]

    def rest(number: int) -> list[bytes]:
        return [left(part) for part in begun[number]]

    # all workers read, in turn and at the same time as each other, what one process had opened
    loader = DataLoader([0, 1, 2] * 4, num_workers=4, collate_fn=lambda numbers: rest(numbers[0]))
    seen: list[set[int]] = [set(), set(), set()]
    for place, found in enumerate(loader):
        number, worker = place % 3, place % 4
        again = worker in seen[number]  # then that process is at the end
        assert found == ([] if again else expected[number][2:])
        seen[number].add(worker)
    assert [rest(number) for number in range(3)] == [parts[2:] for parts in expected]


@pytest.mark.parametrize("workers", [2, 4])
def test_t08_a_store_opened_before_a_fork_is_read_by_all_workers(
    clips: Path, tmp_path: Path, workers: int
) -> None:
    run(clips, tmp_path / "store")
    store = FeatureStore.open(tmp_path / "store")
    first = store[SMALL_CLIPS[0]].copy()

    def row(name: str) -> np.ndarray:
        return store[name].copy()

    ids = list(store.ids) * 4
    loader = DataLoader(
        ids, batch_size=1, num_workers=workers, collate_fn=lambda names: row(names[0])
    )
    for name, found in zip(ids, loader, strict=True):
        np.testing.assert_array_equal(found, store[name])
    np.testing.assert_array_equal(store[SMALL_CLIPS[0]], first)
