"""The run that writes down what is said: resumed, refused, and what becomes of bad files."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

from mmvt.errors import StoreError
from mmvt.features.find import Video, find_videos
from mmvt.features.speech import SpeechRecogniser
from mmvt.features.transcribe import PART_SECONDS, TranscribeReport, quietest, transcribe
from mmvt.files import locked
from mmvt.processors.transcript import Transcript, Word
from mmvt.processors.transcript_files import read_transcript
from tests.sounds import tone, write_media, write_wav

RATE = 16000
ROOT = Path(__file__).resolve().parents[2]


class SecondsRecogniser(SpeechRecogniser):
    """Hears a word for every whole second of sound that is not silent."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self.lengths: list[int] = []

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "SecondsRecogniser", "language": self.language, "sizes": (1, 2)}

    @override
    def __call__(self, samples: np.ndarray) -> Transcript:
        self.lengths.append(len(samples))
        seconds = [n for n in range(len(samples) // RATE) if abs(samples[n * RATE :][:RATE]).max()]
        words = tuple(Word(f"w{n}", float(n), n + 1.0, 0.5) for n in seconds)
        return Transcript(words, self.language, left_out=1)


def run(folder: Path, out: Path, **options: Any) -> TranscribeReport:
    videos = find_videos(folder, extensions=frozenset({".wav", ".mp4"})).videos
    return transcribe(videos, options.pop("recogniser", SecondsRecogniser()), out, **options)


def counts(report: TranscribeReport) -> tuple[int, int, int]:
    return report.transcribed, report.skipped, len(report.failures)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    (tmp_path / "v" / "x").mkdir(parents=True)
    write_wav(tmp_path / "v" / "a.wav", tone(2.5))
    write_media(tmp_path / "v" / "x" / "Käse b.mp4", tone(1.5), frames=15)
    write_media(tmp_path / "v" / "mute.mp4", frames=5)
    (tmp_path / "v" / "zero.mp4").touch()
    return tmp_path / "v"


def test_every_video_has_a_transcript_or_a_reason(sounds: Path, tmp_path: Path):
    seen: list[tuple[str, str | None]] = []
    report = run(sounds, tmp_path / "t", on_video=lambda v, reason: seen.append((v.id, reason)))
    assert counts(report) == (2, 0, 2)
    assert (report.words, report.left_out) == (3, 2)
    transcript = read_transcript(tmp_path / "t" / "transcripts" / "a.wav.json")
    assert transcript.words == (Word("w0", 0.0, 1.0, 0.5), Word("w1", 1.0, 2.0, 0.5))
    assert (transcript.language, transcript.left_out) == ("en", 1)
    assert (tmp_path / "t" / "transcripts" / "x" / "Käse b.mp4.json").is_file()
    assert {item.id: item.reason for item in report.failures} == {
        name: reason for name, reason in seen if reason is not None
    }
    assert dict(seen)["mute.mp4"] == "has no sound"
    lines = (tmp_path / "t" / "failures.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"] for line in lines} == {"mute.mp4", "zero.mp4"}


def test_a_second_run_decodes_nothing(sounds: Path, tmp_path: Path):
    run(sounds, tmp_path / "t")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "t").rglob("*.json*")}
    for path in sounds.rglob("*.*"):
        path.unlink()
    recogniser = SecondsRecogniser()
    videos = [Video(name, sounds / name) for name in ("a.wav", "mute.mp4", "x/Käse b.mp4")]
    report = transcribe(videos, recogniser, tmp_path / "t")
    assert counts(report) == (0, 2, 1)
    assert report.failures[0].reason == "has no sound"
    assert recogniser.lengths == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "t").rglob("*.json*")} == files


def test_only_failures_are_tried_again_when_asked(sounds: Path, tmp_path: Path):
    run(sounds, tmp_path / "t")
    write_wav(sounds / "new.wav", tone(1.0))
    write_media(sounds / "mute.mp4", tone(1.0), frames=5)
    assert counts(run(sounds, tmp_path / "t", retry_failed=True)) == (1, 2, 1)
    assert not (tmp_path / "t" / "transcripts" / "new.wav.json").exists()
    assert counts(run(sounds, tmp_path / "t")) == (1, 3, 1)


def test_other_options_are_named_and_refused(sounds: Path, tmp_path: Path):
    run(sounds, tmp_path / "t")
    with pytest.raises(
        StoreError, match=r"t was made with other options: language is 'en', not 'de'"
    ):
        run(sounds, tmp_path / "t", recogniser=SecondsRecogniser("de"))


def test_files_of_others_are_not_mixed_with(sounds: Path, tmp_path: Path):
    run(sounds, tmp_path / "t")
    (tmp_path / "t" / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match=r"manifest\.json: is damaged"):
        run(sounds, tmp_path / "t")
    (tmp_path / "t" / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"transcripts is not empty, and .*manifest\.json is not"):
        run(sounds, tmp_path / "t")


def test_a_damaged_transcript_is_written_anew(
    sounds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run(sounds, tmp_path / "t")
    path = tmp_path / "t" / "transcripts" / "a.wav.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    assert counts(run(sounds, tmp_path / "t")) == (1, 1, 2)
    assert path.read_bytes() == whole
    assert f"written anew: {path}: not valid JSON" in caplog.text


def test_one_process_writes_at_a_time(sounds: Path, tmp_path: Path):
    with (
        locked(tmp_path / "t" / ".lock", "x"),
        pytest.raises(StoreError, match="another process is writing these transcripts"),
    ):
        run(sounds, tmp_path / "t")


def test_a_name_that_is_too_long_for_a_transcript_fails_alone(sounds: Path, tmp_path: Path):
    name = "n" * 250 + ".wav"
    write_wav(sounds / name, tone(1.0))
    report = run(sounds, tmp_path / "t")
    assert counts(report) == (2, 0, 3)
    reasons = {item.id: item.reason for item in report.failures}
    assert reasons[name] == "its transcript cannot be a file: File name too long"
    assert counts(run(sounds, tmp_path / "t")) == (0, 2, 3)


def test_a_folder_that_cannot_be_written_is_named(sounds: Path, tmp_path: Path):
    (tmp_path / "t").touch()
    with pytest.raises(StoreError, match=r"/t: cannot be written: (File exists|Not a directory)"):
        run(sounds, tmp_path / "t")


def test_long_sound_is_heard_in_parts_cut_where_it_is_quiet(tmp_path: Path):
    samples = tone(PART_SECONDS + 45.0)
    pause = PART_SECONDS - 12
    samples[pause * RATE : (pause + 1) * RATE] = 0
    (tmp_path / "v").mkdir()
    write_wav(tmp_path / "v" / "a.wav", samples)
    recogniser = SecondsRecogniser()
    run(tmp_path / "v", tmp_path / "t", recogniser=recogniser)
    first, second = recogniser.lengths
    assert pause * RATE < first < (pause + 1) * RATE
    assert first + second == len(samples)
    words = read_transcript(tmp_path / "t" / "transcripts" / "a.wav.json").words
    assert [w.start for w in words[:pause]] == list(range(pause))
    assert words[pause].start == pytest.approx(first / RATE, abs=1e-3)
    assert all(a.end <= b.start + 1e-3 for a, b in itertools.pairwise(words))


@pytest.mark.parametrize("length", [0, 1, 3199, 3200, 3201])
def test_the_quietest_moment_of_short_sound_is_within_it(length: int):
    assert 0 <= quietest(np.ones(length, np.float32), 16000, RATE) <= length


def test_the_quietest_moment_is_looked_for_near_the_end():
    samples = np.ones(10 * RATE, np.float32)
    samples[RATE : 2 * RATE] = 0  # too early
    samples[8 * RATE : round(8.4 * RATE)] = 0.5
    assert 8 * RATE <= quietest(samples, 5 * RATE, RATE) <= round(8.4 * RATE)


KILLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.features.test_transcribe import run
seen = []
def on_video(video, reason):
    seen.append(video)
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
run(Path(sys.argv[1]), Path(sys.argv[2]), on_video=on_video)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(sounds: Path, tmp_path: Path):
    command = [sys.executable, "-c", KILLED.format(root=str(ROOT)), str(sounds), f"{tmp_path}/k"]
    done = subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    torn = tmp_path / "k" / "transcripts" / ".a.wav.json.0123.tmp"
    torn.touch()
    assert sum(counts(run(sounds, tmp_path / "k"))) == 4
    run(sounds, tmp_path / "w")
    killed, whole = (
        {
            str(path.relative_to(tmp_path / name)): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("k", "w")
    )
    assert killed == whole
