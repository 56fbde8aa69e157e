"""Stores of sound, as the commands make them, beside stores of frames of the same videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperModel

from mmvt.datasets.store import FeatureStore
from mmvt.errors import DataError
from mmvt.models.experts import ExpertsEncoder
from mmvt.processors.video.experts import ExpertsVideoProcessor
from mmvt_cli import extract
from tests.hf_models import saved
from tests.sounds import RATE, tone, write_media
from tests.videos import write_video

WHISPER = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_source_positions": 100,
    "max_target_positions": 16,
    "vocab_size": 50,
    "num_mel_bins": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the stores of a video that begins silent, and of one without sound."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "videos").mkdir()
    sound = np.concatenate([np.zeros(RATE, np.float32), tone(1.0)])
    write_media(folder / "videos" / "a.mp4", sound, frames=20)
    write_video(folder / "videos" / "mute.mp4", 60)
    torch.manual_seed(0)
    whisper = saved(folder / "whisper", WhisperModel(WhisperConfig(**WHISPER)))
    for name, words, code in (
        ("frames", ["EfficientNetLite0:frame_size=32", "--fps", "1"], 0),
        ("logmel", ["LogMel:bins=8"], 3),
        ("mel", ["WhisperLogMel"], 3),
        ("states", [f"WhisperEncoder:rows_per_second=10,model={whisper}"], 3),
    ):
        argv = [str(folder / "videos"), "--out", str(folder / name), "--encoder", *words]
        assert extract.main(argv) == code  # 3: one has no sound
    return folder


@pytest.mark.parametrize(
    ("name", "dim", "rate"), [("logmel", 8, 100), ("mel", 80, 100), ("states", 16, 10)]
)
def test_a_step_of_the_video_has_the_sound_of_its_time(
    stores: Path, name: str, dim: int, rate: int
) -> None:
    own = FeatureStore.open(stores / name)
    assert (own.manifest.fps, own.manifest.dim) == (rate, dim)
    sound = own["a.mp4"].astype(np.float32)
    processor = ExpertsVideoProcessor(
        store=stores / "frames", experts={"audio": stores / name}, expert_rows={"audio": 2}
    )
    rows = processor("a.mp4")
    assert rows.shape == (2, 1280 + 2 * dim + 2)
    assert rows[:, -2:].tolist() == [[1, 1], [1, 1]]
    halves = rows[:, 1280:-2].reshape(4, dim)
    for half in range(4):
        part = sound[half * rate // 2 : (half + 1) * rate // 2]
        np.testing.assert_allclose(halves[half], part.mean(0), rtol=1e-4, atol=1e-4)
    assert np.abs(halves[0] - halves[3]).max() > 0.1  # silence, and a tone


def test_a_video_without_sound_has_its_frames_and_masked_tokens(stores: Path) -> None:
    fields = {"store": stores / "frames", "experts": {"audio": stores / "states"}}
    with pytest.raises(DataError, match=r"expert audio lacks 1 of 2 videos: mute.mp4"):
        ExpertsVideoProcessor(**fields).contains(["a.mp4", "mute.mp4"])
    rows = ExpertsVideoProcessor(**fields, missing_experts=True)("mute.mp4")
    encoder = ExpertsEncoder(
        hidden_size=8,
        max_video_len=2,
        experts={"video": {"input_dim": 1280}, "audio": {"input_dim": 16}},
    )
    steps = torch.ones(1, 2, dtype=torch.bool)
    outputs = encoder(vfeats=torch.from_numpy(rows[None, :2]), vmasks=steps)
    assert outputs["token_masks"].tolist() == [[True, True, False, False]]
