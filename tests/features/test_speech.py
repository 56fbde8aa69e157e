"""Speech recognition by faster-whisper, on real speech."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError
from mmvt.features.audio import read_sound
from mmvt.features.speech import FasterWhisper
from mmvt.features.weights import weight_file
from mmvt.processors.transcript import Transcript
from tests.sounds import tone

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("faster_whisper") is None,
    reason="speech recognition is not installed: python -m mmvt_cli.setup transcribe",
)
PILOT = "Panda-70M__WhQ8Ai4fa_Q.0.mp4"


@pytest.fixture(scope="module")
def whisper() -> FasterWhisper:
    return FasterWhisper()


def sound_of(path: Path) -> np.ndarray:
    return np.concatenate([chunk.samples for chunk in read_sound(path, window=160000)])


@pytest.fixture(scope="module")
def pilot(shared: Path) -> np.ndarray:
    return sound_of(shared / "data" / "videos" / PILOT)


@pytest.fixture(scope="module")
def said(whisper: FasterWhisper, pilot: np.ndarray) -> Transcript:
    return whisper(pilot)


def test_real_speech_is_written_down_with_the_times_of_its_words(
    said: Transcript, pilot: np.ndarray
):
    words = [word.text.strip(".,").lower() for word in said.words]
    # most of what is said: other machines may round to other words
    heard = {"plane", "pilot", "control", "aircraft", "flight", "systems", "primary", "secondary"}
    assert len(heard & set(words)) >= 6
    assert (said.language, said.left_out) == ("en", 0)
    end = len(pilot) / 16000
    assert all(0 <= word.start <= word.end <= end for word in said.words)
    assert all(a.start <= b.start for a, b in itertools.pairwise(said.words))
    assert all(0 <= (word.probability or 0.0) <= 1 for word in said.words)
    # "aircraft" ends the first sentence, before the middle
    assert 3.0 < said.words[words.index("aircraft")].start < 5.0


def test_the_same_sound_gives_the_same_words(
    whisper: FasterWhisper, said: Transcript, pilot: np.ndarray
):
    assert whisper(pilot) == said


def test_later_speech_has_later_times(whisper: FasterWhisper, said: Transcript, pilot: np.ndarray):
    later = whisper(np.concatenate([np.zeros(32000, np.float32), pilot]))
    assert later.words[0].start == pytest.approx(said.words[0].start + 2, abs=0.5)
    assert later.words[-1].end == pytest.approx(said.words[-1].end + 2, abs=0.5)


@pytest.mark.parametrize("length", [0, 1, 160, 16000])
def test_silence_and_tones_say_nothing(whisper: FasterWhisper, length: int):
    assert whisper(np.zeros(length, np.float32)) == Transcript()
    assert whisper(tone(length / 16000)).words == ()


def test_what_repeats_itself_is_left_out_and_counted(whisper: FasterWhisper, shared: Path):
    jumping = sound_of(shared / "data" / "videos" / "Panda-70M__2jKXlH_ceCo.11.mp4")
    kept = whisper(jumping)
    assert kept.left_out >= 1
    assert len(kept.words) < 20


def test_the_fingerprint_tells_models_and_options_apart(whisper: FasterWhisper):
    there = whisper.fingerprint
    assert there["model"] == "whisper-tiny.en"
    assert there["weights_sha256"].startswith("1a5afae06a4d")
    assert FasterWhisper(beam_size=1, threads=2).fingerprint == {**there, "beam_size": 1}


def test_a_folder_in_pretrained_models_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whisper: FasterWhisper
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrained_models").mkdir()
    (tmp_path / "pretrained_models" / "mine").symlink_to(weight_file("whisper-tiny.en"))
    mine = FasterWhisper(model="mine")
    assert mine.fingerprint == {**whisper.fingerprint, "model": "mine"}


def test_missing_weights_say_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    message = (
        r"speech model 'mine' is not here: .*into pretrained_models/mine/, or take whisper-tiny"
    )
    with pytest.raises(MissingWeightsError, match=message):
        FasterWhisper(model="mine")
    with pytest.raises(MissingWeightsError, match="'nobody/whisper' is not here"):
        FasterWhisper(model="nobody/whisper")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingWeightsError, match=r"has no model\.bin, tokenizer\.json\. Put"):
        FasterWhisper(model=str(tmp_path))


def test_damaged_weights_are_named(tmp_path: Path):
    folder = tmp_path / "whisper"
    shutil.copytree(weight_file("whisper-tiny.en"), folder)
    with (folder / "model.bin").open("r+b") as file:
        file.truncate(1_000_000)
    with pytest.raises(CheckpointError, match="whisper: "):
        FasterWhisper(model=str(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size must be at least 1, not 0"),
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"max_repetition": 0.0}, "max_repetition must be positive"),
        ({"language": "de"}, "does not know the language 'de'; it knows English alone"),
        ({"device": "tpu"}, "cannot run so: "),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        FasterWhisper(**options)
