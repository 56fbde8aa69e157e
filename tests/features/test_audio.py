"""Reading sound: which samples, at which times, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import MediaError
from mmvt.features.audio import read_sound
from tests.sounds import RATE, tone, write_media, write_wav
from tests.videos import write_video


def all_of(path: Path, rate: int = RATE) -> np.ndarray:
    """Return all samples of a file."""
    return np.concatenate([c.samples for c in read_sound(path, window=rate, rate=rate)])


# --- samples and their times


def test_samples_at_the_same_rate_come_back_as_they_were(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 5000).astype("f4")
    read = all_of(write_wav(tmp_path / "a.wav", samples))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, samples)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = tone(0.5), tone(0.5, 1000.0)
    read = all_of(write_wav(tmp_path / "a.wav", np.stack([left, right])))
    np.testing.assert_allclose(read, (left + right) / 2, atol=1e-4)


def test_another_rate_is_converted(tmp_path: Path) -> None:
    read = all_of(write_wav(tmp_path / "a.wav", tone(1.0, rate=44100), rate=44100))
    assert abs(len(read) - RATE) <= 20
    inner = slice(1000, 15000)
    np.testing.assert_allclose(read[inner], tone(1.0)[inner], atol=5e-3)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [(0, 1)]),
        (2, [(0, 2)]),
        (9, [(0, 9)]),
        (10, [(0, 10)]),
        (11, [(0, 10), (8, 3)]),
        (18, [(0, 10), (8, 10)]),
        (19, [(0, 10), (8, 10), (16, 3)]),
    ],
)
def test_windows_overlap_and_the_last_has_something_new(
    tmp_path: Path, count: int, expected: list[tuple[int, int]]
) -> None:
    path = write_wav(tmp_path / "a.wav", np.arange(count, dtype="f4") / 100)
    chunks = list(read_sound(path, window=10, hop=8))
    assert [(round(c.time * RATE), len(c.samples)) for c in chunks] == expected
    for chunk in chunks:
        first = round(chunk.time * RATE)
        numbers = np.arange(first, first + len(chunk.samples), dtype="f4")
        np.testing.assert_array_equal(chunk.samples, numbers / 100)


def test_sound_that_begins_late_begins_with_silence(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", tone(1.0), frames=20, delay=0.5)
    read = all_of(path)
    assert abs(len(read) / RATE - 1.5) < 0.1
    assert np.abs(read[: int(0.45 * RATE)]).max() < 1e-3
    assert np.abs(read[int(0.6 * RATE) : int(1.4 * RATE)]).max() > 0.4


def test_the_sound_of_a_clip_is_what_the_ffmpeg_command_reads(shared: Path) -> None:
    ffmpeg = shutil.which("ffmpeg")
    path = next((shared / "data" / "videos").glob("Panda-70M__UBdicUlzAng*"))
    read = all_of(path)
    assert len(read) == pytest.approx(2.117 * RATE, abs=2)
    if ffmpeg is not None:
        command = [ffmpeg, "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(RATE)]
        raw = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, check=True)
        theirs = np.frombuffer(raw.stdout, "<i2") / 32768
        shorter = min(len(theirs), len(read))
        assert abs(len(theirs) - len(read)) <= 2
        np.testing.assert_allclose(read[:shorter], theirs[:shorter], atol=1e-3)


# --- what is refused


def test_a_video_without_sound_is_a_named_failure(tmp_path: Path) -> None:
    path = write_video(tmp_path / "mute.mp4", 5)
    with pytest.raises(MediaError, match=r"mute\.mp4: has no sound"):
        all_of(path)


@pytest.mark.parametrize("content", [b"", b"hello\n" * 100])
def test_files_that_are_no_media_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"text\.mp4: is (empty|no media)"):
        all_of(path)
    with pytest.raises(MediaError, match="No such file"):
        all_of(tmp_path / "none.mp4")


def test_a_playlist_cannot_name_other_files(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(0.5))
    (tmp_path / "list.avi").write_text(
        "#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(MediaError, match="is no media"):
        all_of(tmp_path / "list.avi")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, 10 * RATE).astype("f4")
    codec = "pcm_s16le" if name == "a.avi" else "aac"
    samples = (noise * 32767).astype("i2") if name == "a.avi" else noise
    path = write_media(tmp_path / name, samples, codec=codec, frames=100, faststart=name == "a.mp4")
    assert len(all_of(path)) == pytest.approx(10 * RATE, rel=0.02)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=r"cut off|damaged|none of its sound|Invalid"):
        all_of(path)


def test_sound_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(3.0))
    with pytest.raises(MediaError, match="3 s long, more than 2 s"):
        list(read_sound(path, window=RATE, max_seconds=2.0))


@pytest.mark.parametrize("hop", [0, 11])
def test_a_hop_is_at_most_a_window(tmp_path: Path, hop: int) -> None:
    with pytest.raises(ValueError, match="hop must be from 1 to window"):
        read_sound(tmp_path / "a.wav", window=10, hop=hop)
