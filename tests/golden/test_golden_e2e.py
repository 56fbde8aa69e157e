"""From frames to a score: S3D and VideoCLIP together, against the original's recorded numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import mmvt
from mmvt.features.s3d.network import S3DNetwork
from tests.golden.conftest import Golden
from tests.s3d_weights import named_weights, write_weights

pytestmark = pytest.mark.golden

CASE = "models/mmptmodel_e2e"
CLOSE = {"rtol": 1e-4, "atol": 1e-5}

TASK = """\
features: {{encoder: {{name: S3D, weights: {weights}, \
frames_per_second: {rate}, frame_size: {size}}}}}
dataset:
  meta_processor: CaptionMetaProcessor
  video_processor: StoreVideoProcessor
  text_processor: CaptionTextProcessor
  aligner: PairAligner
  annotations: captions.csv
  store: features
  bert_name: {bert}
  max_video_len: {max_video_len}
  max_len: {max_len}
encoders: {{video: {{name: VideoTokenMLP, input_dim: {input_dim}}}}}
trunk: {{name: SeparateTrunk, pretrained: false, num_hidden_video_layers: {video_layers}}}
head: ContrastiveHead
"""


@pytest.fixture(scope="module")
def case(golden: Golden) -> dict[str, Any]:
    """Return case.json, with the settings of the model whose weights it names."""
    case = golden.json(f"{CASE}/case.json")
    folder, file = case["state"].removeprefix("../").split("/")
    model = golden.json(f"models/{folder}/case.json")
    assert case["config"].keys() == {"max_video_len"}
    assert model["model_cls"] == "MMFusionSeparate"
    assert file == model["state"]
    case["model"] = model["config"]["model"]
    case["dataset"] = {**model["config"]["dataset"], **case["config"]}
    case["checkpoint"] = golden.path(f"models/{folder}/{file}")
    return case


@pytest.fixture(scope="module")
def frames(golden: Golden, case: dict[str, Any]) -> Tensor:
    """Return the frames, which are described in a sentence."""
    text = case["frames"]
    seed, number = re.search(r"RandomState\(SEED\*(\d+)\+(\d+)\)", text).groups()
    shape = re.search(r"random_sample\(\(([\d,]+)\)\)", text)[1].split(",")
    random = np.random.RandomState(golden.seed * int(seed) + int(number))
    pixels = random.random_sample([int(size) for size in shape])
    for times, axis in re.findall(r"\.repeat\((\d+),(\d+)\)", text):
        pixels = pixels.repeat(int(times), int(axis))
    return torch.from_numpy(pixels.astype(np.float32))


@pytest.fixture(scope="module")
def weights(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = named_weights(S3DNetwork(), golden.json("s3d/s3d.json")["seed"])
    return write_weights(tmp_path_factory.mktemp("s3d") / "s3d.pth", network)


def test_the_published_example_gives_the_originals_score(
    golden: Golden, case: dict[str, Any], frames: Tensor, weights: Path, tmp_path: Path
):
    yaml = tmp_path / "how2.yaml"
    yaml.write_text(
        TASK.format(
            weights=weights,
            rate=frames.shape[2],
            size=frames.shape[3],
            bert=golden.bert,
            max_video_len=case["dataset"]["max_video_len"],
            max_len=case["dataset"]["max_len"],
            input_dim=golden.geometry["input_dim"],
            video_layers=case["model"]["num_hidden_video_layers"],
        )
    )
    model, _, _ = mmvt.MMVTModel.from_pretrained(yaml, case["checkpoint"])
    model.eval()
    recorded = golden.tensors(f"{CASE}/io.safetensors")
    inputs = {key.removeprefix("in."): t for key, t in recorded.items() if key.startswith("in.")}
    with torch.no_grad():
        ours = model(frames, **inputs) | model(frames, **inputs, return_score=True)
    for key in recorded.keys() - {f"in.{name}" for name in inputs}:
        torch.testing.assert_close(ours[key.removeprefix("out.")], recorded[key], **CLOSE)
    # the original refuses two at once
    assert "bsz=1" in case["bsz2_error"]
    two = {key: torch.cat([tensor, tensor]) for key, tensor in inputs.items()}
    other = torch.cat([1 - frames, frames])
    scores = model(other, **two, return_score=True)["score"]
    torch.testing.assert_close(scores[1:], ours["score"], **CLOSE)
    assert abs(scores[0] - scores[1]) > 0.01
