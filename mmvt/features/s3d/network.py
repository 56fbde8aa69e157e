"""S3D-G, a network of separable 3-D convolutions with feature gating, written plainly.

Names of parts are those of the published weights, whose keys load as they are.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from mmvt.checkpoint import load_into, load_state
from mmvt.errors import CheckpointError
from mmvt.features.s3d.text import TextModule

# name, inputs, widths: b0; b1 narrow, b1; b2 narrow, b2; b3
MIXED = (
    ("mixed_3b", 192, (64, 96, 128, 16, 32, 32)),
    ("mixed_3c", 256, (128, 128, 192, 32, 96, 64)),
    ("mixed_4b", 480, (192, 96, 208, 16, 48, 64)),
    ("mixed_4c", 512, (160, 112, 224, 24, 64, 64)),
    ("mixed_4d", 512, (128, 128, 256, 24, 64, 64)),
    ("mixed_4e", 512, (112, 144, 288, 32, 64, 64)),
    ("mixed_4f", 528, (256, 160, 320, 32, 128, 128)),
    ("mixed_5b", 832, (256, 160, 320, 32, 128, 128)),
    ("mixed_5c", 832, (384, 192, 384, 48, 128, 128)),
)
WIDTH = 1024
EMBEDDING = 512
# kernel and stride (time, height and width) of the pool ahead of a part
POOLS = {
    "conv_2b": ((1, 3, 3), (1, 2, 2)),
    "mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


class S3DNetwork(nn.Module):
    """The network with fresh weights, video and text side.

    Source: Rethinking Spatiotemporal Feature Learning (arXiv 1712.04851), the gated variant S3D-G;
    space-to-depth and the text side: End-to-End Learning of Visual Representations (arXiv
    1912.06430).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(24, 64, (2, 4, 4), padding=(1, 2, 2))
        self.conv_2b = ConvNorm(64, 64, (1, 1, 1))
        self.conv_2c = SeparableConvNorm(64, 192)
        self.gating = Gating(192)
        for name, inputs, widths in MIXED:
            self.add_module(name, Mixed(inputs, widths))
        self.fc = nn.Linear(WIDTH, EMBEDDING)
        self.text_module = TextModule(EMBEDDING)

    def maps(
        self, clips: Float[Tensor, "b 3 frames height width"]
    ) -> Float[Tensor, "b 1024 t rows columns"]:
        """Return the last feature maps of RGB clips in [0, 1], of even size and length."""
        x = self.conv1(space_to_depth(clips))[:, :, 1:, 1:, 1:]
        x = self.conv_2b(max_pool(x, *POOLS["conv_2b"]))
        x = self.gating(self.conv_2c(x))
        for name, _, _ in MIXED:
            x = max_pool(x, *POOLS[name]) if name in POOLS else x
            x = self.get_submodule(name)(x)
        return x

    @override
    def forward(
        self, clips: Float[Tensor, "b 3 frames height width"]
    ) -> dict[str, Float[Tensor, "b dim"]]:
        """Return ``mixed_5c``, the mean of the last maps, and ``video_embedding``, its projection.

        Args:
            clips: RGB in [0, 1], of even size and length.
        """
        mean = self.maps(clips).mean(dim=(2, 3, 4))
        return {"video_embedding": self.fc(mean), "mixed_5c": mean}


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int, int],
        padding: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, kernel, padding=padding, bias=False)
        self.bn1 = nn.BatchNorm3d(outputs)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn1(self.conv1(x)))


class SeparableConvNorm(ConvNorm):
    """A 3 × 3 convolution of each frame, then one over 3 frames; each normalised, with ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, (1, 3, 3), (0, 1, 1))
        self.conv2 = nn.Conv3d(outputs, outputs, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.bn2 = nn.BatchNorm3d(outputs)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn2(self.conv2(super().forward(x))))


class Gating(nn.Module):
    """Scales each channel by what the mean over the clip says of its worth."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    @override
    def forward(self, x: Tensor) -> Tensor:
        gates = torch.sigmoid(self.fc(x.mean(dim=(2, 3, 4))))
        return x * gates[:, :, None, None, None]


class Mixed(nn.Module):
    """Four gated branches side by side: plain, two separable convolutions, and a pool."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        plain, narrow1, wide1, narrow2, wide2, pooled = widths
        point = (1, 1, 1)
        self.conv_b0 = ConvNorm(inputs, plain, point)
        self.conv_b1_a = ConvNorm(inputs, narrow1, point)
        self.conv_b1_b = SeparableConvNorm(narrow1, wide1)
        self.conv_b2_a = ConvNorm(inputs, narrow2, point)
        self.conv_b2_b = SeparableConvNorm(narrow2, wide2)
        self.conv_b3_b = ConvNorm(inputs, pooled, point)
        self.gating_b0 = Gating(plain)
        self.gating_b1 = Gating(wide1)
        self.gating_b2 = Gating(wide2)
        self.gating_b3 = Gating(pooled)

    @override
    def forward(self, x: Tensor) -> Tensor:
        b0 = self.conv_b0(x)
        b1 = self.conv_b1_b(self.conv_b1_a(x))
        b2 = self.conv_b2_b(self.conv_b2_a(x))
        b3 = self.conv_b3_b(functional.max_pool3d(x, 3, stride=1, padding=1))
        gated = (self.gating_b0(b0), self.gating_b1(b1), self.gating_b2(b2), self.gating_b3(b3))
        return torch.cat(gated, dim=1)


def space_to_depth(
    clips: Float[Tensor, "b channels frames height width"],
) -> Float[Tensor, "b channels8 frames2 height2 width2"]:
    """Return clips of half the size and length, the 2 × 2 × 2 pixels of a block as channels.

    Channels are ordered by time, row and column in the block, and by colour within these.

    Raises:
        ValueError: a side or the length is odd.
    """
    check_even(clips)
    blocks = clips.unflatten(4, (-1, 2)).unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
    return blocks.permute(0, 3, 5, 7, 1, 2, 4, 6).flatten(1, 4)


def check_even(clips: Float[Tensor, "b channels frames height width"]) -> None:
    """Raise a ValueError if the length or a side of clips is odd."""
    if any(size % 2 for size in clips.shape[2:]):
        raise ValueError(f"length and size of clips must be even, not {tuple(clips.shape[2:])}")


def max_pool(
    x: Float[Tensor, "b channels t height width"],
    kernel: tuple[int, int, int],
    stride: tuple[int, int, int],
) -> Float[Tensor, "b channels t2 height2 width2"]:
    """Return the maxima of windows over maps padded with zeros as TensorFlow does.

    The padding is kernel − stride whatever the size, its smaller half first; a window that
    overhangs counts.
    """
    padding: list[int] = []
    for size, step in zip(reversed(kernel), reversed(stride), strict=True):
        lack = max(0, size - step)
        padding += [lack // 2, lack - lack // 2]
    return functional.max_pool3d(functional.pad(x, padding), kernel, stride, ceil_mode=True)


def load_network(path: Path) -> S3DNetwork:
    """Return the network, in evaluation mode, with the weights of a checkpoint.

    Args:
        path: such as ``s3d_howto100m.pth``; nothing but tensors is loaded.

    Raises:
        CheckpointError: the file is unsafe or does not fit.
    """
    network = S3DNetwork()
    try:
        load_into(network, load_state(path))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: no weights of S3D: {error}") from error
    return network.eval().requires_grad_(False)
