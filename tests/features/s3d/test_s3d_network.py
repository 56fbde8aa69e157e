from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmvt.checkpoint import save_state
from mmvt.errors import CheckpointError
from mmvt.features.s3d.network import (
    Gating,
    S3DNetwork,
    SeparableConvNorm,
    load_network,
    max_pool,
    space_to_depth,
)
from tests.trap import Trap


def waves(frames: int, height: int, width: int) -> Tensor:
    """Return a clip of numbers from 0 to 1, the same everywhere."""
    i = torch.arange(3 * frames * height * width, dtype=torch.float64)
    pixels = 0.5 + 0.5 * torch.sin(0.37 * i + 0.0001 * i * i)
    return pixels.float().reshape(1, 3, frames, height, width)


def test_numbers_are_those_of_another_implementation(network: S3DNetwork) -> None:
    """They were computed in float64 by sums over windows, reading weights by their names.

    Half of 46 × 34 pixels is odd in places, so that windows of pools overhang.
    """
    with torch.inference_mode():
        out = network(waves(6, 46, 34))
    mixed, embedding = out["mixed_5c"][0], out["video_embedding"][0]
    expected = torch.tensor([0.0, 0.01365, 0.87218, 0.67577, 0.0, 0.0])
    torch.testing.assert_close(mixed[:6], expected, atol=1e-4, rtol=0)
    expected = torch.tensor([-1.18307, -0.22790, -0.13649, -0.81954, 3.14134, 0.60289])
    torch.testing.assert_close(embedding[:6], expected, atol=1e-4, rtol=0)
    assert mixed.norm().item() == pytest.approx(30.223666, rel=1e-5)
    assert embedding.norm().item() == pytest.approx(30.472286, rel=1e-5)


def test_blocks_become_channels_with_colour_fastest() -> None:
    clip = torch.zeros(1, 3, 4, 2, 4)
    clip[0, 2, 3, 0, 3] = 7  # blue; in its block: second frame, first row, second column
    out = space_to_depth(clip)
    assert out.shape == (1, 24, 2, 1, 2)
    assert out.nonzero().tolist() == [[0, (4 + 1) * 3 + 2, 1, 0, 1]]


@pytest.mark.parametrize("shape", [(1, 3, 3, 4, 4), (1, 3, 4, 5, 4), (1, 3, 4, 4, 7)])
def test_odd_clips_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be even"):
        space_to_depth(torch.zeros(shape))


def test_pools_pad_at_the_end_and_keep_the_overhang() -> None:
    row = torch.tensor([1.0, 5.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 1, 5)
    assert max_pool(row, (1, 1, 3), (1, 1, 2)).flatten().tolist() == [5.0, 4.0, 4.0]
    assert max_pool(row[..., :4], (1, 1, 3), (1, 1, 2)).flatten().tolist() == [5.0, 3.0]
    assert max_pool(row, (1, 1, 2), (1, 1, 2)).flatten().tolist() == [5.0, 3.0, 4.0]
    assert max_pool(-row, (1, 1, 3), (1, 1, 2)).flatten().tolist() == [-1.0, -2.0, 0.0]
    time = row.view(1, 1, 5, 1, 1)
    assert max_pool(time, (3, 3, 3), (2, 2, 2)).flatten().tolist() == [5.0, 4.0, 4.0]


def test_gates_come_from_the_mean_of_the_clip() -> None:
    gating = Gating(2)
    with torch.no_grad():
        gating.fc.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
        gating.fc.bias.zero_()
    x = torch.tensor([[2.0, 4.0], [-1.0, 1.0]]).view(1, 2, 2, 1, 1)  # means 3 and 0
    assert gating(x).flatten().tolist() == [1.0, 2.0, -0.5, 0.5]
    x[:, 1] += 100
    torch.testing.assert_close(gating(x)[0, 0], x[0, 0])


def test_separable_convolution_sees_a_frame_and_then_its_neighbours() -> None:
    layer = SeparableConvNorm(1, 1).eval()
    with torch.no_grad():
        layer.conv1.weight.fill_(1)
        layer.conv2.weight.copy_(torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1, 1))
    x = torch.zeros(1, 1, 3, 3, 3)
    x[0, 0, 1, 0, 0] = 1
    frames = layer(x)[0, 0] * (1 + 1e-5)
    corner = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(frames, torch.stack([3 * corner, 2 * corner, corner]))


def test_weights_come_back_from_a_file(network: S3DNetwork, weights: Path) -> None:
    loaded = load_network(weights)
    assert not loaded.training
    assert torch.equal(loaded.fc.weight, network.fc.weight)


def test_unsafe_and_other_weights_are_refused(network: S3DNetwork, tmp_path: Path) -> None:
    torch.save({"fc.weight": Trap(tmp_path / "sprung")}, tmp_path / "unsafe.pth")
    with pytest.raises(CheckpointError, match=r"unsafe\.pth is unsafe or torn"):
        load_network(tmp_path / "unsafe.pth")
    assert not (tmp_path / "sprung").exists()
    save_state(network.fc, tmp_path / "fc.safetensors")
    with pytest.raises(CheckpointError, match=r"fc\.safetensors: no weights of S3D.*\nmissing"):
        load_network(tmp_path / "fc.safetensors")
