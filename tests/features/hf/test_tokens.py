"""The tokens of Video-ChatGPT: which frames, which means, and how they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from mmvt.datasets.store import FeatureStore
from mmvt.errors import ConfigError
from mmvt.features.extract import FrameOptions, extract
from mmvt.features.extraction import Extraction
from mmvt.features.find import Video
from mmvt.features.hf.tokens import SpatioTemporalTokens, spatio_temporal_tokens, uniform_frames
from mmvt.features.reader import read_frames
from tests.hf_models import TEXT, VISION, saved
from tests.videos import write_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, CLIPModel]:
    torch.manual_seed(0)
    network = CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=16))
    return saved(tmp_path_factory.mktemp("clip"), network), network


# --- choice and means


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [
        (1, 100, [0]),
        (2, 100, [0, 0]),  # parts of half a frame; halves are rounded to even numbers
        (5, 5, [0, 1, 2, 2, 3]),
        (10, 1, [4]),
        (10, 3, [1, 4, 7]),
        (101, 4, [12, 37, 62, 87]),
    ],
)
def test_frames_are_the_middles_of_equal_parts(total: int, count: int, expected: list[int]) -> None:
    assert uniform_frames(total, count) == expected


@pytest.mark.parametrize("total", [1, 2, 99, 100, 101, 12345])
def test_frames_are_in_order_and_of_the_video(total: int) -> None:
    chosen = uniform_frames(total)
    assert len(chosen) == min(total, 100)
    assert chosen == sorted(chosen)
    assert 0 <= chosen[0] <= chosen[-1] < total


@pytest.mark.parametrize(("total", "count"), [(0, 1), (1, 0)])
def test_nothing_cannot_be_chosen(total: int, count: int) -> None:
    with pytest.raises(ValueError, match="cannot be chosen"):
        uniform_frames(total, count)


def test_tokens_of_moments_come_before_those_of_places() -> None:
    patches = np.array([[[0.0], [2.0]], [[4.0], [6.0]], [[8.0], [10.0]]], np.float16)
    tokens = spatio_temporal_tokens(patches, slots=4)
    assert tokens.dtype == np.float16
    assert tokens[:, 0].tolist() == [1, 5, 9, 0, 4, 6]
    assert spatio_temporal_tokens(patches, slots=3)[:, 0].tolist() == [1, 5, 9, 4, 6]
    full = spatio_temporal_tokens(np.ones((100, 256, 8), np.float16))
    assert full.shape == (356, 8)
    assert (full == 1).all()


@pytest.mark.parametrize("frames", [0, 3])
def test_frames_that_do_not_fit_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match=f"{frames} frames do not go into 2 tokens"):
        spatio_temporal_tokens(np.ones((frames, 4, 8), np.float16), slots=2)


# --- as an encoder


def test_tokens_of_a_video_are_stored_with_the_number_of_real_moments(
    clip: tuple[str, CLIPModel], tmp_path: Path
) -> None:
    folder, network = clip
    path = write_video(tmp_path / "a.mp4", 6, width=48)
    encoder = SpatioTemporalTokens(model=folder, slots=8)
    extract(
        [Video("a", path)], encoder, tmp_path / "s", FrameOptions(num_segments=8), dtype="float32"
    )
    store = FeatureStore.open(tmp_path / "s")
    assert (store.manifest.dim, store.manifest.grid, store.manifest.fps) == (32, 1, 0)
    assert (store["a"].shape, store.metadata("a")["n_valid"]) == ((8 + 16, 32), 6)

    (frames, _), *_ = read_frames(path, fps=30.0, short_side=32, crop=32)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.5])
    images = ((torch.from_numpy(frames) / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        states = network.vision_model(pixel_values=images, output_hidden_states=True).hidden_states
    expected = spatio_temporal_tokens(states[-2][:, 1:].numpy(), slots=8)
    np.testing.assert_allclose(store["a"], expected, atol=1e-5)
    assert (store["a"][6:8] == 0).all()
    assert store.times("a")[[0, 6, 23]].tolist() == pytest.approx([0, 5 / 30, 5 / 30])


def test_a_video_of_enough_frames_has_no_padding(
    clip: tuple[str, CLIPModel], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "a.mp4", 30)
    encoder = SpatioTemporalTokens(model=clip[0], slots=4)
    extract([Video("a", path)], encoder, tmp_path / "s", FrameOptions(fps=10.0))
    store = FeatureStore.open(tmp_path / "s")
    assert store.metadata("a")["n_valid"] == 20
    assert store.manifest.encoder["frames"]["fps"] == 10
    assert store.manifest.encoder["slots"] == 4


def test_tokens_of_no_time_are_for_stores_only(clip: tuple[str, CLIPModel]) -> None:
    with pytest.raises(ConfigError, match="SpatioTemporalTokens gives rows without a time"):
        Extraction(encoder=SpatioTemporalTokens(model=clip[0]))
    with pytest.raises(ConfigError, match="slots must be at least 1"):
        SpatioTemporalTokens(model=clip[0], slots=0)
