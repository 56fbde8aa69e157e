"""``mmvt transcribe``: what it writes and prints, and exit codes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmvt.processors.transcript_files import read_transcript
from mmvt_cli import __main__ as mmvt_main
from mmvt_cli import transcribe
from tests.sounds import tone, write_wav

ROOT = Path(__file__).resolve().parents[2]
needs_whisper = pytest.mark.skipif(
    importlib.util.find_spec("faster_whisper") is None,
    reason="speech recognition is not installed: python -m mmvt_cli.setup transcribe",
)


@needs_whisper
def test_a_folder_is_transcribed_once(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "v").mkdir()
    for name in ("Panda-70M__UaQKCrszICw.16.mp4", "sample-videos__bird.mkv"):
        shutil.copy(shared / "data" / "videos" / name, tmp_path / "v")
    write_wav(tmp_path / "v" / "tone.wav", tone(1.0))
    command = ["transcribe", f"{tmp_path}/v", "--out", f"{tmp_path}/t", "--threads", "1"]
    assert mmvt_main.main(command) == 3
    printed = capsys.readouterr().out
    assert "sample-videos__bird.mkv" in printed
    assert "has no sound" in printed
    said = read_transcript(
        tmp_path / "t" / "transcripts" / "Panda-70M__UaQKCrszICw.16.mp4.json"
    ).words
    assert "simon" in [word.text.strip(".,!").lower() for word in said]
    assert f"2 transcribed ({len(said)} words), 0 there already, 1 failed" in printed
    assert mmvt_main.main(command) == 3
    assert "0 transcribed (0 words), 2 there already, 1 failed" in capsys.readouterr().out
    made_by = json.loads((tmp_path / "t" / "manifest.json").read_text())["made_by"]
    assert made_by["model"] == "whisper-tiny.en"
    assert mmvt_main.main([*command, "--beam", "1"]) == 2
    assert "beam_size is 5, not 1" in capsys.readouterr().err


def test_without_a_video_nothing_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert transcribe.main([str(tmp_path), "--out", f"{tmp_path}/t"]) == 2
    assert "there is no video in" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


def test_without_the_package_the_command_that_installs_it_is_named(tmp_path: Path):
    write_wav(tmp_path / "a.wav", tone(0.5))
    # the package is hidden, installed or not
    code = (
        "import sys; from importlib import util; from mmvt_cli.transcribe import main; "
        "find = util.find_spec; "
        "util.find_spec = lambda name: None if name == 'faster_whisper' else find(name); "
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.wav"), "--out", f"{tmp_path}/t"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "run: python -m mmvt_cli.setup transcribe" in done.stderr
    assert not (tmp_path / "t").exists()
