"""EfficientNet-Lite0: equal to another implementation with the same weights, and its outputs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from mmvt.errors import CheckpointError, ConfigError
from mmvt.features.efficientnet import EfficientNetLite0, Network, load_network
from mmvt.features.weights import weight_file
from mmvt.files import sha256_file


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 224, 224, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("size", [224, 128])
def test_maps_and_logits_equal_another_implementation(size: int) -> None:
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        pytest.skip("efficientnet_lite_pytorch is not installed")
    from efficientnet_lite_pytorch import EfficientNet

    path = weight_file("efficientnet-lite0")
    theirs = EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(path, weights_only=True))
    ours = load_network(path).fused()
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(
            ours.maps(images), theirs.extract_features(images), atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(ours(images), theirs(images), atol=1e-4, rtol=1e-4)


def test_recorded_logits_are_reproduced() -> None:
    images = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.inference_mode():
        logits = load_network(weight_file("efficientnet-lite0")).eval()(images)[0]
    expected = torch.tensor([-0.4592, -0.1270, 0.9363, 0.6261, 0.8094, 0.9117])
    torch.testing.assert_close(logits[:6], expected, atol=1e-3, rtol=1e-3)


def test_folding_the_normalisations_changes_nothing() -> None:
    torch.manual_seed(0)
    network = Network().eval()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    images = torch.rand(2, 3, 70, 51)
    with torch.inference_mode():
        before = network(images)
        torch.testing.assert_close(network.fused()(images), before, atol=1e-5, rtol=1e-4)


def test_outputs_have_the_shapes_they_state(frames: torch.Tensor) -> None:
    pooled = EfficientNetLite0()
    assert pooled.encode(frames).shape == (3, 1, pooled.dim) == (3, 1, 1280)
    grid = EfficientNetLite0(output="grid", grid=3)
    assert grid.encode(frames).shape == (3, 9, grid.dim)
    small = EfficientNetLite0(output="grid", grid=2, frame_size=64)
    assert small.encode(frames[:, :64, :64]).shape == (3, 4, 1280)


def test_cells_of_a_grid_average_to_the_pooled_row(frames: torch.Tensor) -> None:
    cells = EfficientNetLite0(output="grid", grid=7).encode(frames)
    pooled = EfficientNetLite0().encode(frames)
    torch.testing.assert_close(cells.mean(1, keepdim=True), pooled, atol=1e-5, rtol=1e-4)


def test_cells_are_in_row_major_order() -> None:
    picture = torch.full((1, 224, 224, 3), 128, dtype=torch.uint8)
    marked = picture.clone()
    marked[:, :56, 168:] = torch.tensor([255, 0, 0], dtype=torch.uint8)
    encoder = EfficientNetLite0(output="grid", grid=2)
    change = (encoder.encode(marked) - encoder.encode(picture)).norm(dim=-1)[0]
    assert change.argmax() == 1


def test_probabilities_sum_to_one_and_follow_the_logits(frames: torch.Tensor) -> None:
    encoder = EfficientNetLite0(output="probabilities")
    rows = encoder.encode(frames)
    assert rows.shape == (3, 1, encoder.dim) == (3, 1, 1000)
    torch.testing.assert_close(rows.sum(-1), torch.ones(3, 1))
    images = frames.permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        logits = encoder.network(images)
    torch.testing.assert_close(rows[:, 0], logits.softmax(-1), atol=1e-6, rtol=1e-4)


def test_a_frame_does_not_depend_on_its_batch(frames: torch.Tensor) -> None:
    encoder = EfficientNetLite0()
    alone = torch.cat([encoder.encode(frame[None]) for frame in frames])
    torch.testing.assert_close(encoder.encode(frames), alone, atol=1e-5, rtol=1e-4)


def test_a_photograph_is_recognised(shared: Path) -> None:
    from mmvt.features.reader import read_frames

    path = shared / "data" / "videos" / "Ask-Anything__hitting_baseball.mp4"
    (chunk,) = read_frames(path, num_segments=4, short_side=256, crop=224)
    rows = EfficientNetLite0(output="probabilities").encode(torch.from_numpy(chunk.frames.copy()))
    assert {429, 560, 981} & set(rows.mean(0)[0].topk(10).indices.tolist())  # baseball, player


def test_the_fingerprint_names_weights_and_options() -> None:
    encoder = EfficientNetLite0(output="grid", grid=2, frame_size=128)
    assert encoder.fingerprint == {
        "name": "EfficientNetLite0",
        "output": "grid",
        "grid": 2,
        "frame_size": 128,
        "weights_sha256": sha256_file(weight_file("efficientnet-lite0")),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 2}, "grid=2 needs output='grid', not 'pooled'"),
        ({"output": "grid", "grid": 0}, "grid must be at least 1, not 0"),
        ({"frame_size": 31}, "frame_size must be at least 32, not 31"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EfficientNetLite0(**options)


def test_a_file_without_these_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"_fc.weight": torch.zeros(2, 2)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth: no weights of EfficientNet-Lite0"):
        load_network(tmp_path / "w.pth")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"_fc.weight": Path}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"w\.pth"):
        load_network(tmp_path / "w.pth")
