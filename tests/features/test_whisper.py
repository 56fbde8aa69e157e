"""Whisper's features and states, against transformers on the same sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTModel, WhisperConfig, WhisperFeatureExtractor, WhisperModel

from mmvt.datasets.store import FeatureStore
from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError
from mmvt.features.extract import extract
from mmvt.features.find import Video
from mmvt.features.whisper import WhisperEncoder, WhisperLogMel
from tests.hf_models import VISION, saved
from tests.sounds import RATE, tone, write_wav

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def noise(seconds: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(round(seconds * RATE), generator=generator)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, WhisperModel]:
    """A Whisper with windows of two seconds."""
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=32,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=100,
        max_target_positions=16,
        vocab_size=50,
        num_mel_bins=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    network = WhisperModel(config).eval()
    return saved(tmp_path_factory.mktemp("whisper"), network), network


@torch.inference_mode()
def states(network: WhisperModel, samples: torch.Tensor) -> tuple[torch.Tensor, ...]:
    extractor = WhisperFeatureExtractor(feature_size=8, chunk_length=2)
    features = extractor(samples.numpy(), sampling_rate=RATE, return_tensors="pt")
    result = network.encoder(features["input_features"], output_hidden_states=True)
    return (*result.hidden_states, result.last_hidden_state)


# --- log-mel


@pytest.mark.parametrize("bins", [80, 128])
def test_log_mel_is_that_of_the_plain_extractor_in_numpy(bins: int) -> None:
    samples = noise(2.005)
    rows = WhisperLogMel(bins=bins).encode(samples)
    whole = np.zeros(30 * RATE, np.float32)
    whole[: len(samples)] = samples
    extractor = WhisperFeatureExtractor(feature_size=bins)
    expected = extractor._np_extract_fbank_features(whole[None], device="cpu")[0].T
    assert rows.shape == (201, bins)
    np.testing.assert_allclose(rows, expected[:201], atol=1e-3)


@pytest.mark.parametrize(("samples", "rows"), [(1, 1), (160, 1), (161, 2), (480000, 3000)])
def test_rows_cover_the_sound_and_nothing_after_it(samples: int, rows: int) -> None:
    assert WhisperLogMel().encode(torch.zeros(samples)).shape == (rows, 80)


# --- states


def test_states_are_those_of_the_encoder(whisper: tuple[str, WhisperModel]) -> None:
    folder, network = whisper
    samples = noise(2.0)
    *hidden, last = states(network, samples)
    encoder = WhisperEncoder(model=folder)
    assert (encoder.dim, encoder.rows_per_second, encoder.window) == (32, 50, 2 * RATE)
    torch.testing.assert_close(encoder.encode(samples), last[0], **CLOSE)
    for layer in (0, 1, -2):
        rows = WhisperEncoder(model=folder, layer=layer).encode(samples)
        torch.testing.assert_close(rows, hidden[layer][0], **CLOSE)


def test_states_are_averaged_to_fewer_rows(whisper: tuple[str, WhisperModel]) -> None:
    folder, network = whisper
    samples = noise(1.1)  # 55 states: five rows of ten, and one of five
    last = states(network, samples)[-1][0]
    rows = WhisperEncoder(model=folder, rows_per_second=5).encode(samples)
    expected = [last[10 * n : min(10 * n + 10, 55)].mean(0) for n in range(6)]
    torch.testing.assert_close(rows, torch.stack(expected), **CLOSE)


def test_windows_follow_each_other_in_a_store(
    whisper: tuple[str, WhisperModel], tmp_path: Path
) -> None:
    path = write_wav(tmp_path / "a.wav", tone(5.0))
    encoder = WhisperEncoder(model=whisper[0], rows_per_second=10)
    report = extract([Video("a", path)], encoder, tmp_path / "store", dtype="float32")
    assert report.failures == []
    store = FeatureStore.open(tmp_path / "store")
    assert store.manifest.fps == 10
    np.testing.assert_allclose(store.times("a"), np.arange(50) / 10)
    last = encoder.encode(torch.from_numpy(tone(5.0)[4 * RATE :]))
    np.testing.assert_allclose(store["a"][40:], last, atol=1e-3)


def test_the_fingerprint_is_of_the_encoder_alone(whisper: tuple[str, WhisperModel]) -> None:
    first = WhisperEncoder(model=whisper[0]).fingerprint
    second = WhisperEncoder(model=whisper[0], layer=1, rows_per_second=1).fingerprint
    assert {k for k in first if first[k] != second[k]} == {"layer", "rows_per_second"}
    assert len(first["weights_sha256"]) == 64


# --- what is refused


@pytest.mark.parametrize("rate", [0, -5, 3, 100])
def test_a_rate_that_does_not_divide_that_of_the_states_is_refused(rate: int) -> None:
    with pytest.raises(ConfigError, match=f"must divide 50, which {rate} does not"):
        WhisperEncoder(model="any", rows_per_second=rate)


def test_other_models_layers_and_bins_are_refused(
    whisper: tuple[str, WhisperModel], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"\(ViTModel\) is no Whisper"):
        WhisperEncoder(model=saved(tmp_path / "vit", ViTModel(ViTConfig(**VISION))))
    with pytest.raises(ConfigError, match="hidden states 0 to 2; there is no layer 3"):
        WhisperEncoder(model=whisper[0], layer=3)
    with pytest.raises(MissingWeightsError, match="into pretrained_models/openai/none"):
        WhisperEncoder(model="openai/none")
    with pytest.raises(ConfigError, match="bins must be at least 1"):
        WhisperLogMel(bins=0)
