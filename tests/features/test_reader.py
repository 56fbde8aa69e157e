"""The reader: which frames come, of what size, at what time; and what is refused, and why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.errors import MediaError
from mmvt.features.reader import probe, read_frames
from tests.videos import number_of, numbered_frame, write_frames, write_sound, write_video


def numbers(path: Path, **options: Any) -> list[int]:
    return [number_of(f) for chunk in read_frames(path, **options) for f in chunk.frames]


def times(path: Path, **options: Any) -> list[float]:
    return [t for chunk in read_frames(path, **options) for t in chunk.times.tolist()]


def drain(path: Path, **options: Any) -> None:
    for _ in read_frames(path, **{"fps": 1.0, **options}):
        pass


# --- which frames


def test_a_step_shows_the_last_frame_before_its_middle(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 90)
    assert numbers(path, fps=1.0) == [14, 44, 74]
    assert times(path, fps=1.0) == [0, 1, 2]


def test_at_its_own_rate_every_frame_comes_once(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 50, options={"g": "12", "bf": "3"})
    assert numbers(path, fps=30.0) == list(range(50))


def test_a_higher_rate_repeats_frames(tmp_path: Path) -> None:
    assert numbers(write_video(tmp_path / "v.mp4", 4, rate=10), fps=20.0) == [
        0,
        0,
        1,
        1,
        2,
        2,
        3,
        3,
    ]


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (14, [0]), (15, [14]), (46, [14, 44])])
def test_a_video_shorter_than_a_step_still_has_one(
    tmp_path: Path, count: int, expected: list[int]
) -> None:
    assert numbers(write_video(tmp_path / "v.mp4", count), fps=1.0) == expected


def test_variable_frame_rate_is_sampled_by_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 4, rate=10, ticks=[0, 1, 20, 21])
    assert numbers(path, fps=2.0)[:5] == [1, 1, 1, 1, 3]


def test_time_counts_from_the_first_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 60, ticks=[n + 45 for n in range(60)])
    assert numbers(path, fps=1.0) == [14, 44]
    assert numbers(path, num_segments=2) == [15, 45]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("closed.mp4", {"options": {"g": "10", "bf": "2"}}),
        ("open.mp4", {"options": {"x264-params": "open-gop=1:keyint=12:bframes=3"}}),
        ("refresh.mp4", {"options": {"x264-params": "intra-refresh=1:keyint=10:bframes=0"}}),
        ("one.mp4", {"options": {"g": "250"}}),
        ("v.mkv", {}),
        ("v.ts", {}),
        ("v.avi", {"codec": "mpeg4"}),
    ],
)
def test_segments_jump_to_the_frames_that_decoding_all_would_give(
    tmp_path: Path, name: str, options: dict
) -> None:
    path = write_video(tmp_path / name, 120, **options)
    assert numbers(path, num_segments=8) == [7, 22, 37, 52, 67, 82, 97, 112]
    assert times(path, num_segments=8) == pytest.approx(
        [n / 30 for n in range(7, 120, 15)], abs=2e-3
    )


def test_more_segments_than_frames_repeat_frames(tmp_path: Path) -> None:
    assert numbers(write_video(tmp_path / "v.mp4", 2), num_segments=5) == [0, 0, 1, 1, 1]


# --- chunks and sizes


@pytest.mark.parametrize("chunk", [1, 4, 5, 6])
def test_chunks_are_full_but_for_the_last_and_share_a_buffer(tmp_path: Path, chunk: int) -> None:
    path = write_video(tmp_path / "v.mp4", 5)
    chunks = [frames for frames, _ in read_frames(path, fps=30.0, chunk=chunk)]
    assert [len(frames) for frames in chunks] == [
        *[chunk] * (5 // chunk),
        *filter(None, [5 % chunk]),
    ]
    assert all(np.shares_memory(chunks[0], frames) for frames in chunks)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(64, 48, (30, 40)), (48, 64, (40, 30)), (64, 64, (30, 30)), (90, 48, (30, 56))],
)
def test_the_shorter_side_is_scaled(
    tmp_path: Path, width: int, height: int, expected: tuple[int, int]
) -> None:
    path = write_video(tmp_path / "v.mp4", 2, width=width, height=height)
    frames = next(read_frames(path, fps=30.0, short_side=30)).frames
    assert frames.shape == (2, *expected, 3)


def test_the_middle_is_cut_out(tmp_path: Path) -> None:
    picture = np.zeros((48, 96, 3), np.uint8)
    picture[:, 24:72] = 255
    path = write_frames(tmp_path / "v.mp4", [picture] * 3)
    (frames,) = (chunk.frames for chunk in read_frames(path, fps=30.0, crop=44))
    assert frames.shape == (3, 44, 44, 3)
    assert frames.min() > 235


def test_odd_sizes_and_ten_bits_keep_the_picture(tmp_path: Path) -> None:
    picture = np.zeros((51, 67, 3), np.uint8)
    picture[...] = (200, 100, 50)
    lossless = {"options": {"qp": "0"}, "pix_fmt": "yuv444p10le"}
    path = write_frames(tmp_path / "v.mp4", [picture] * 2, **lossless)
    frames = next(read_frames(path, fps=30.0)).frames
    assert frames.shape == (2, 51, 67, 3)
    assert np.abs(frames.astype(int) - picture).max() <= 3


@pytest.mark.parametrize(
    ("rotation", "corners"),
    [(0, "RGBK"), (90, "GKRB"), (180, "KBGR"), (-90, "BRKG")],
)
def test_frames_are_turned_upright(tmp_path: Path, rotation: int, corners: str) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32], picture[:24, 32:], picture[24:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = write_frames(tmp_path / "v.mp4", [picture] * 3, rotation=rotation)
    frame = next(read_frames(path, fps=30.0)).frames[0].astype(int)
    seen = [frame[y, x] for y in (6, -6) for x in (6, -6)]
    assert "".join("RGB"[c.argmax()] if c.max() > 128 else "K" for c in seen) == corners
    info = probe(path)
    assert (info.height, info.width, info.rotation) == (*frame.shape[:2], rotation % 360)


def test_threads_change_no_byte(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 30)
    one, two = (
        [chunk.frames.tobytes() for chunk in read_frames(path, fps=30.0, threads=threads)]
        for threads in (1, 2)
    )
    assert one == two


def test_probe_tells_what_the_file_says(tmp_path: Path) -> None:
    info = probe(write_video(tmp_path / "v.mp4", 45))
    assert (info.codec, info.width, info.height, info.rotation) == ("h264", 64, 48, 0)
    assert (info.fps, info.duration) == (30, 1.5)


def test_real_clips_of_many_kinds_are_read(shared: Path) -> None:
    for name in (
        "Ask-Anything__yoga.mp4",
        "mmaction2__test.avi",
        "sample-videos__bird.mkv",
        "vid2vid-zero__child-riding.mp4",
    ):
        path = shared / "data" / "videos" / name
        (chunk,) = read_frames(path, num_segments=8, short_side=256, crop=224)
        assert chunk.frames.shape == (8, 224, 224, 3)
        seconds = probe(path).duration
        assert seconds is not None
        middles = (np.arange(8) + 0.5) * seconds / 8
        assert np.abs(chunk.times - middles).max() <= 0.13


# --- what is refused


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"hello world\n" * 100, "is no video"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n", "is no video"),
        (b"ffconcat version 1.0\nfile '/etc/hostname'\n", "is no video"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "v.avi"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=rf"v\.avi: {reason}"):
        drain(path)


def test_a_playlist_of_a_real_video_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "inner.mp4")
    for name, text in {
        "list.mp4": "ffconcat version 1.0\nfile 'inner.mp4'\n",
        "list.ts": "#EXTM3U\n#EXTINF:2,\ninner.mp4\n#EXT-X-ENDLIST\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(MediaError, match=name):
            drain(tmp_path / name)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", tmp_path):
        with pytest.raises(MediaError, match="is no regular file"):
            drain(path)
    with pytest.raises(MediaError, match=r"none\.mp4: No such file"):
        drain(tmp_path / "none.mp4")
    with pytest.raises(MediaError, match="http:/nowhere/v.mp4: No such file"):
        drain("http://nowhere/v.mp4")


def test_sound_without_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="has no video stream"):
        drain(write_sound(tmp_path / "v.mp4"))


@pytest.mark.parametrize("options", [{"fps": 5.0}, {"num_segments": 3}])
@pytest.mark.parametrize("name", ["v.mkv", "v.mp4", "v.avi"])
def test_a_file_that_is_cut_in_half_is_refused(tmp_path: Path, name: str, options: dict) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 96, 128, 3), np.uint8)
    codec = "mpeg4" if name == "v.avi" else "libx264"
    path = write_frames(tmp_path / name, noise, codec=codec, faststart=name == "v.mp4")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match=r"cut off, 1\.\d of 3\.0 s are there"):
        for _ in read_frames(path, **options):
            pass


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 90)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match=r"v\.mp4: is no video, or lacks its header"):
        drain(path)


def test_a_damaged_stream_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", 60, options={"g": "1"})
    content = bytearray(path.read_bytes())
    for at in range(2000, len(content) - 200, 100):
        content[at : at + 30] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"v\.mkv: "):
        drain(path, fps=30.0)


def test_limits_are_checked_before_decoding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 60)
    drain(path, max_pixels=64 * 48, max_seconds=2.0)
    with pytest.raises(MediaError, match="64 x 48 pixels, more than 3071"):
        drain(path, max_pixels=64 * 48 - 1)
    with pytest.raises(MediaError, match="2 s long, more than 1 s"):
        drain(path, max_seconds=1.0)


def test_a_length_that_no_header_states_is_limited_too(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", 3, rate=10, ticks=[0, 1, 200])
    content = path.read_bytes()
    # Matroska keeps the duration as id 0x4489; under another id it is skipped
    path.write_bytes(content.replace(b"\x44\x89\x88", b"\x44\x8a\x88"))
    assert probe(path).duration is None
    assert len(numbers(path, num_segments=4)) == 4
    with pytest.raises(MediaError, match="longer than the limit of 10 s"):
        drain(path, max_seconds=10.0)


def test_a_change_of_picture_size_is_refused(tmp_path: Path) -> None:
    parts = [
        write_frames(tmp_path / f"{width}.ts", [numbered_frame(0, width)] * 10).read_bytes()
        for width in (64, 96)
    ]
    (tmp_path / "v.ts").write_bytes(b"".join(parts))
    with pytest.raises(MediaError, match="the picture changes from 64 x 48 to 96 x 48 pixels"):
        drain(tmp_path / "v.ts")


def test_a_crop_larger_than_the_picture_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 3)
    drain(path, crop=48)
    with pytest.raises(MediaError, match="64 x 48 pixels are too few for a crop of 49"):
        drain(path, crop=49)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either fps or num_segments"),
        ({"fps": 1.0, "num_segments": 2}, "give either fps or num_segments"),
        ({"fps": 0.0}, "fps must be positive"),
        ({"fps": float("nan")}, "fps must be positive"),
        ({"num_segments": 0}, "num_segments must be at least 1"),
        ({"fps": 1.0, "chunk": 0}, "chunk must be at least 1"),
        ({"fps": 1.0, "short_side": 20, "crop": 21}, "crop .21. is larger than short_side .20."),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_frames("none.mp4", **options)
