"""Video models as encoders: tiny random ones against what transformers makes of the same frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    PreTrainedModel,
    TimesformerConfig,
    TimesformerModel,
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEImageProcessorPil,
    VideoMAEModel,
    ViTConfig,
    ViTModel,
    VivitConfig,
    VivitModel,
    XCLIPConfig,
    XCLIPModel,
)

from mmvt.datasets.store import FeatureStore
from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError
from mmvt.features.extract import FrameOptions, extract
from mmvt.features.extraction import Extraction
from mmvt.features.find import Video
from mmvt.features.hf.video import HFVideoEncoder
from tests.hf_models import TEXT, VISION, random_frames, saved
from tests.videos import write_video

CLOSE = {"atol": 1e-5, "rtol": 1e-4}


def videomae() -> VideoMAEModel:
    config = VideoMAEConfig(**VISION, num_frames=4, tubelet_size=2, use_mean_pooling=False)
    return VideoMAEModel(config)


def timesformer() -> TimesformerModel:
    return TimesformerModel(TimesformerConfig(**VISION, num_frames=4))


def vivit() -> VivitModel:
    config = {**VISION, "patch_size": 8}
    return VivitModel(VivitConfig(**config, num_frames=4, tubelet_size=[2, 8, 8]))


def xclip() -> XCLIPModel:
    vision = {
        **VISION,
        "num_frames": 4,
        "mit_hidden_size": 16,
        "mit_intermediate_size": 32,
        "mit_num_attention_heads": 2,
        "mit_num_hidden_layers": 1,
    }
    return XCLIPModel(XCLIPConfig(vision_config=vision, text_config=TEXT, projection_dim=16))


MAKERS = {"videomae": videomae, "timesformer": timesformer, "vivit": vivit, "xclip": xclip}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, PreTrainedModel]]:
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for name, make in MAKERS.items():
        torch.manual_seed(0)
        network = make()
        made[name] = (saved(folder / name, network), network.eval())
    return made


def processed(folder: str, frames: torch.Tensor) -> torch.Tensor:
    """Return frames as the processor of the model gives them, clips of four."""
    processor = VideoMAEImageProcessorPil.from_pretrained(folder, size={"shortest_edge": 32})
    clips = [list(clip.numpy()) for clip in frames.split(4)]
    return processor(clips, return_tensors="pt")["pixel_values"]


@torch.inference_mode()
def last_states(model: tuple[str, PreTrainedModel], frames: torch.Tensor) -> torch.Tensor:
    folder, network = model
    return network(pixel_values=processed(folder, frames)).last_hidden_state


@pytest.mark.parametrize(("name", "others"), [("videomae", 0), ("timesformer", 1), ("vivit", 1)])
def test_pooled_rows_are_the_mean_of_the_tokens_of_a_clip(
    models: dict[str, tuple[str, PreTrainedModel]], name: str, others: int
) -> None:
    frames = random_frames(8)
    encoder = HFVideoEncoder(model=models[name][0])
    assert (encoder.dim, encoder.frame_size, encoder.clip_frames) == (32, 32, 4)
    tokens = last_states(models[name], frames)
    expected = tokens[:, others:].mean(dim=1, keepdim=True)
    torch.testing.assert_close(encoder.encode(frames), expected, **CLOSE)
    if others:
        cls = HFVideoEncoder(model=models[name][0], output="cls").encode(frames)
        torch.testing.assert_close(cls, tokens[:, :1], **CLOSE)


@torch.inference_mode()
def test_pooled_xclip_is_the_video_in_the_space_of_text(
    models: dict[str, tuple[str, PreTrainedModel]],
) -> None:
    frames = random_frames(8)
    folder, network = models["xclip"]
    encoder = HFVideoEncoder(model=folder)
    result = network.get_video_features(pixel_values=processed(folder, frames))
    assert (encoder.dim, encoder.clip_frames) == (16, 4)
    torch.testing.assert_close(encoder.encode(frames)[:, 0], result.pooler_output, **CLOSE)
    steps = HFVideoEncoder(model=folder, output="tubelets").encode(frames)
    by_frame = result.last_hidden_state[:, 1:].mean(dim=1, keepdim=True)
    torch.testing.assert_close(steps, by_frame, **CLOSE)


def test_tubelets_are_the_moments_of_a_clip(
    models: dict[str, tuple[str, PreTrainedModel]],
) -> None:
    frames = random_frames(8)
    tokens = last_states(models["videomae"], frames)  # (2 clips, 2 moments × 16 patches, 32)
    encoder = HFVideoEncoder(model=models["videomae"][0], output="tubelets")
    assert (encoder.steps_a_clip, encoder.step_frames) == (2, 2)
    expected = torch.stack([tokens[:, :16].mean(1), tokens[:, 16:].mean(1)], dim=1)
    torch.testing.assert_close(encoder.encode(frames), expected.reshape(4, 1, 32), **CLOSE)
    # the tokens of a patch of TimeSformer follow each other, after the class token
    tokens = last_states(models["timesformer"], frames)
    encoder = HFVideoEncoder(model=models["timesformer"][0], output="tubelets", grid=4)
    assert (encoder.steps_a_clip, encoder.step_frames) == (4, 1)
    rows = encoder.encode(frames)
    assert rows.shape == (8, 16, 32)
    torch.testing.assert_close(rows[5, 3], tokens[1, 1 + 3 * 4 + 1], **CLOSE)


def test_cells_are_means_over_time_and_patches(
    models: dict[str, tuple[str, PreTrainedModel]],
) -> None:
    frames = random_frames(4)
    tokens = last_states(models["vivit"], frames)[:, 1:]
    rows = HFVideoEncoder(model=models["vivit"][0], output="clip", grid=2).encode(frames)
    corner = [0, 1, 4, 5]
    expected = tokens[:, corner + [16 + patch for patch in corner]].mean(dim=1)
    assert rows.shape == (1, 4, 32)
    torch.testing.assert_close(rows[:, 0], expected, **CLOSE)


def test_a_clip_does_not_depend_on_others(
    models: dict[str, tuple[str, PreTrainedModel]],
) -> None:
    encoder = HFVideoEncoder(model=models["videomae"][0])
    frames = random_frames(8)
    torch.testing.assert_close(encoder.encode(frames)[1:], encoder.encode(frames[4:]), **CLOSE)


# --- through the whole extraction


def test_the_steps_of_a_clip_have_their_times_and_end_with_the_video(
    models: dict[str, tuple[str, PreTrainedModel]], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "a.mp4", 18)  # 0.6 s: 6 frames at 10 a second, a clip and a half
    folder = models["videomae"][0]
    tubelets = HFVideoEncoder(model=folder, output="tubelets", frames_per_second=10.0)
    report = extract([Video("a", path)], tubelets, tmp_path / "tubelets", dtype="float32")
    assert report.failures == []
    store = FeatureStore.open(tmp_path / "tubelets")
    assert store.manifest.fps == 5
    assert store.times("a").tolist() == pytest.approx([0, 0.2, 0.4])
    on_the_spot = Extraction(encoder=tubelets).from_file(path)
    np.testing.assert_allclose(on_the_spot.rows, store["a"], atol=1e-6)
    clips = HFVideoEncoder(model=folder)
    extract([Video("a", path)], clips, tmp_path / "clips", FrameOptions(fps=2.5), dtype="float32")
    store = FeatureStore.open(tmp_path / "clips")
    assert store.times("a").tolist() == pytest.approx([0, 0.4])
    assert store["a"].shape == (2, 32)


def test_real_clips_go_through_every_model(
    models: dict[str, tuple[str, PreTrainedModel]], shared: Path, tmp_path: Path
) -> None:
    clips = sorted((shared / "data" / "videos").glob("Panda-70M__U*"))[:2]
    for name, (folder, _) in models.items():
        encoder = HFVideoEncoder(model=folder)
        report = extract([Video(clip.name, clip) for clip in clips], encoder, tmp_path / name)
        assert (report.extracted, report.failures) == (2, [])
        assert FeatureStore.open(tmp_path / name).manifest.fps == 1


# --- fingerprints, and what is refused


def test_the_fingerprint_names_what_changes_the_features(
    models: dict[str, tuple[str, PreTrainedModel]],
) -> None:
    folder = models["videomae"][0]
    first = HFVideoEncoder(model=folder).fingerprint
    assert first["clip_frames"] == 4
    assert len(first["weights_sha256"]) == 64
    changed = HFVideoEncoder(model=folder, output="clip", grid=2, frames_per_second=7.5).fingerprint
    assert {key for key in first if first[key] != changed[key]} == {
        "output",
        "grid",
        "frames_per_second",
    }


def test_a_checkpoint_with_more_than_the_model_is_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = VideoMAEConfig(
        **VISION,
        num_frames=4,
        use_mean_pooling=False,
        decoder_num_hidden_layers=1,
        decoder_hidden_size=32,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    )
    network = VideoMAEForPreTraining(config)
    encoder = HFVideoEncoder(model=saved(tmp_path, network))
    tokens = last_states((str(tmp_path), network.videomae), random_frames(4))
    torch.testing.assert_close(encoder.encode(random_frames(4))[:, 0], tokens.mean(1), **CLOSE)


def test_other_models_and_absent_ones_are_refused(
    models: dict[str, tuple[str, PreTrainedModel]], tmp_path: Path
) -> None:
    vit = saved(tmp_path / "vit", ViTModel(ViTConfig(**VISION)))
    with pytest.raises(CheckpointError, match=r"\(ViTModel\) is no video model.*HFVisionEncoder"):
        HFVideoEncoder(model=vit)
    with pytest.raises(CheckpointError, match="has no class token of a clip; use output: pooled"):
        HFVideoEncoder(model=models["videomae"][0], output="cls")
    with pytest.raises(MissingWeightsError, match="into pretrained_models/nobody/nothing"):
        HFVideoEncoder(model="nobody/nothing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 2}, "grid=2 does not go with output='pooled'"),
        ({"output": "clip", "grid": 0}, "grid=0 does not go"),
        ({"frames_per_second": 0.0}, "frames_per_second must be positive"),
        ({"frames_per_second": float("nan")}, "frames_per_second must be positive"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HFVideoEncoder(model="any", **options)
