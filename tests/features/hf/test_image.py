"""Hugging Face models as encoders: tiny random ones, saved to folders as real ones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    ResNetConfig,
    ResNetModel,
    SiglipConfig,
    SiglipModel,
    TimesformerConfig,
    TimesformerModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)

from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError
from mmvt.features.hf.image import HFVisionEncoder
from mmvt.features.hf.loading import state_sha256
from tests.hf_models import PREPROCESSOR, TEXT, VISION, WIDTHS, random_frames, saved


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, CLIPModel]:
    torch.manual_seed(0)
    network = CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=16))
    return saved(tmp_path_factory.mktemp("clip"), network), network


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return random_frames(3)


def normalised(frames: torch.Tensor) -> torch.Tensor:
    mean, std = torch.tensor(PREPROCESSOR["image_mean"]), torch.tensor(PREPROCESSOR["image_std"])
    return ((frames / 255 - mean) / std).permute(0, 3, 1, 2)


def test_pooled_clip_is_the_image_in_the_space_of_text(
    clip: tuple[str, CLIPModel], frames: torch.Tensor
) -> None:
    folder, network = clip
    encoder = HFVisionEncoder(model=folder)
    with torch.inference_mode():
        states = network.vision_model(pixel_values=normalised(frames)).pooler_output
        expected = network.visual_projection(states)
    rows = encoder.encode(frames)
    assert (encoder.dim, encoder.grid, encoder.frame_size) == (16, 1, 32)
    torch.testing.assert_close(rows[:, 0], expected, atol=1e-5, rtol=1e-4)


def test_class_token_and_patches_are_those_of_the_last_layer(
    clip: tuple[str, CLIPModel], frames: torch.Tensor
) -> None:
    folder, network = clip
    with torch.inference_mode():
        hidden = network.vision_model(pixel_values=normalised(frames)).last_hidden_state
    token = HFVisionEncoder(model=folder, output="cls").encode(frames)
    torch.testing.assert_close(token, hidden[:, :1], atol=1e-5, rtol=1e-4)
    patches = HFVisionEncoder(model=folder, output="grid", grid=4).encode(frames)
    torch.testing.assert_close(patches, hidden[:, 1:], atol=1e-5, rtol=1e-4)
    cells = HFVisionEncoder(model=folder, output="grid", grid=2).encode(frames)
    corner = hidden[:, [1, 2, 5, 6]].mean(1)
    torch.testing.assert_close(cells[:, 0], corner, atol=1e-5, rtol=1e-4)


def test_frames_are_normalised_as_by_the_image_processor_of_the_model(
    clip: tuple[str, CLIPModel], frames: torch.Tensor
) -> None:
    folder, network = clip
    processor = CLIPImageProcessorPil.from_pretrained(folder, size={"shortest_edge": 32})
    images = processor(list(frames.numpy()), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        expected = network.get_image_features(pixel_values=images).pooler_output
    rows = HFVisionEncoder(model=folder).encode(frames)
    torch.testing.assert_close(rows[:, 0], expected, atol=1e-5, rtol=1e-4)


def test_hidden_states_of_chosen_layers_lie_side_by_side(
    clip: tuple[str, CLIPModel], frames: torch.Tensor
) -> None:
    folder, network = clip
    with torch.inference_mode():
        states = network.vision_model(
            pixel_values=normalised(frames), output_hidden_states=True
        ).hidden_states
    assert len(states) == 3
    token = HFVisionEncoder(model=folder, output="cls", layers=[0, 1, 2])
    expected = torch.cat([state[:, :1] for state in states], dim=2)
    assert token.dim == 96
    torch.testing.assert_close(token.encode(frames), expected, atol=1e-5, rtol=1e-4)
    patches = HFVisionEncoder(model=folder, output="patches", layers=[-2])
    assert (patches.dim, patches.grid) == (32, 4)
    torch.testing.assert_close(patches.encode(frames), states[1][:, 1:], atol=1e-5, rtol=1e-4)
    cells = HFVisionEncoder(model=folder, output="grid", grid=2, layers=[-2]).encode(frames)
    corner = states[1][:, [1, 2, 5, 6]].mean(1)
    torch.testing.assert_close(cells[:, 0], corner, atol=1e-5, rtol=1e-4)
    assert patches.fingerprint["layers"] == [-2]
    assert "layers" not in HFVisionEncoder(model=folder).fingerprint


def test_other_vision_models_work_as_far_as_they_go(tmp_path: Path, frames: torch.Tensor) -> None:
    resnet = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    networks = {
        "vit": ViTModel(ViTConfig(**VISION)),
        "siglip": SiglipModel(SiglipConfig(vision_config=VISION, text_config=TEXT)),
        "resnet": ResNetModel(resnet),
    }
    for name, network in networks.items():
        folder = saved(tmp_path / name, network)
        width = 16 if name == "resnet" else 32
        assert HFVisionEncoder(model=folder).encode(frames).shape == (3, 1, width)
        grid = HFVisionEncoder(model=folder, output="grid", grid=2)
        assert grid.encode(frames).shape == (3, 4, width)
        if name != "vit":
            with pytest.raises(CheckpointError, match="has no class token; use output: pooled"):
                HFVisionEncoder(model=folder, output="cls")


def test_settings_may_lie_in_a_processor_file(tmp_path: Path, frames: torch.Tensor) -> None:
    folder = Path(saved(tmp_path, ViTModel(ViTConfig(**VISION))))
    expected = HFVisionEncoder(model=str(folder)).encode(frames)
    (folder / "preprocessor_config.json").rename(tmp_path / "aside")
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": PREPROCESSOR}))
    torch.testing.assert_close(HFVisionEncoder(model=str(folder)).encode(frames), expected)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, 32),
        ({"crop_size": 32}, 32),
        ({"do_center_crop": False, "size": {"height": 32, "width": 32}}, 32),
        ({"do_center_crop": False, "size": 32}, 32),
    ],
)
def test_the_frame_size_is_what_the_preprocessor_says(
    tmp_path: Path, settings: dict[str, Any], size: int
) -> None:
    folder = saved(tmp_path, ViTModel(ViTConfig(**VISION)), **settings)
    assert HFVisionEncoder(model=folder).frame_size == size


def test_a_model_is_found_in_pretrained_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "pretrained_models" / "tiny" / "vit", ViTModel(ViTConfig(**VISION)))
    monkeypatch.chdir(tmp_path)
    assert HFVisionEncoder(model="tiny/vit").dim == 32


def test_the_fingerprint_changes_with_weights_and_options(tmp_path: Path) -> None:
    network = ViTModel(ViTConfig(**VISION))
    folder = saved(tmp_path, network)
    first = HFVisionEncoder(model=folder, output="cls").fingerprint
    assert first["weights_sha256"] == state_sha256(network)
    assert {k: first[k] for k in ("name", "model", "output", "grid", "frame_size", "dtype")} == {
        "name": "HFVisionEncoder",
        "model": folder,
        "output": "cls",
        "grid": 1,
        "frame_size": 32,
        "dtype": "float32",
    }
    with torch.no_grad():
        network.layernorm.bias += 1
    saved(tmp_path, network)
    second = HFVisionEncoder(model=folder, output="cls").fingerprint
    assert {k for k in first if first[k] != second[k]} == {"weights_sha256"}


def test_half_precision_stays_close(clip: tuple[str, CLIPModel], frames: torch.Tensor) -> None:
    half = HFVisionEncoder(model=clip[0], dtype="bfloat16").encode(frames)
    assert half.dtype == torch.float32
    full = HFVisionEncoder(model=clip[0]).encode(frames)
    torch.testing.assert_close(half, full, atol=0.05, rtol=0.1)


# --- what is refused


def test_an_absent_model_says_where_to_put_what(tmp_path: Path) -> None:
    for name in ("nobody/nothing", str(tmp_path / "none")):
        with pytest.raises(MissingWeightsError, match=r"config\.json, .*into pretrained_models/"):
            HFVisionEncoder(model=name)


def test_weights_in_a_pickle_are_not_read(tmp_path: Path) -> None:
    folder = Path(saved(tmp_path, ViTModel(ViTConfig(**VISION))))
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(MissingWeightsError, match="safetensors"):
        HFVisionEncoder(model=str(folder))


def test_code_beside_a_model_is_not_run(tmp_path: Path) -> None:
    folder = Path(saved(tmp_path, ViTModel(ViTConfig(**VISION))))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(CheckpointError):
        HFVisionEncoder(model=str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_model_without_its_pooling_layer_gives_no_pooled_rows(tmp_path: Path) -> None:
    folder = saved(tmp_path, ViTForImageClassification(ViTConfig(**VISION)))
    with pytest.raises(CheckpointError, match="no weights for pooler.*try output: cls or grid"):
        HFVisionEncoder(model=folder)
    assert HFVisionEncoder(model=folder, output="cls").dim == 32


def test_missing_settings_and_text_models_are_refused(tmp_path: Path) -> None:
    network = ViTModel(ViTConfig(**VISION))
    network.save_pretrained(tmp_path / "vit")
    with pytest.raises(MissingWeightsError, match=r"no preprocessor_config\.json"):
        HFVisionEncoder(model=str(tmp_path / "vit"))
    sizeless = saved(tmp_path / "sizeless", network, do_center_crop=False, size={})
    with pytest.raises(CheckpointError, match="names no frame size; set frame_size"):
        HFVisionEncoder(model=sizeless)
    bert = BertModel(BertConfig(**WIDTHS, vocab_size=50))
    with pytest.raises(CheckpointError, match=r"\(BertModel\) takes no images"):
        HFVisionEncoder(model=saved(tmp_path / "bert", bert))


def test_layers_that_are_not_there_are_refused(clip: tuple[str, CLIPModel]) -> None:
    with pytest.raises(ConfigError, match=r"hidden states 0 to 2; there are no layers \[3, -4\]"):
        HFVisionEncoder(model=clip[0], output="cls", layers=[-3, 3, -4])
    for options in ({"output": "pooled", "layers": [1]}, {"output": "cls", "layers": []}):
        with pytest.raises(ConfigError, match="does not go with output"):
            HFVisionEncoder(model=clip[0], **options)


@pytest.mark.parametrize("options", [{"grid": 2}, {"output": "grid", "grid": 0}])
def test_a_grid_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="does not go with output"):
        HFVisionEncoder(model="any", **options)


def test_a_size_that_the_model_does_not_take_is_refused(clip: tuple[str, CLIPModel]) -> None:
    with pytest.raises(ConfigError, match="takes no frames of 40 × 40 pixels: Input image size"):
        HFVisionEncoder(model=clip[0], frame_size=40)
    with pytest.raises(ConfigError, match="frame_size must be at least 1, not 0"):
        HFVisionEncoder(model=clip[0], frame_size=0)


def test_a_model_of_video_is_referred_to_its_encoder(tmp_path: Path) -> None:
    network = TimesformerModel(TimesformerConfig(**VISION, num_frames=4))
    with pytest.raises(CheckpointError, match="takes clips of video; use HFVideoEncoder"):
        HFVisionEncoder(model=saved(tmp_path, network))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = Path(saved(tmp_path, ViTModel(ViTConfig(**VISION))))
    (folder / "preprocessor_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"its preprocessor_config\.json is not valid JSON"):
        HFVisionEncoder(model=str(folder))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(MissingWeightsError, match=rf"model\.safetensors into {folder}/"):
        HFVisionEncoder(model=str(folder))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(CheckpointError, match=f"{folder}: .*header"):
        HFVisionEncoder(model=str(folder))
