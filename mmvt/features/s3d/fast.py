"""S3D for inference: the same numbers as the plain network, in less than half the time.

Maps are (batch, time, height, width, channels). Then convolutions of a frame and over time are both
2-D ones with channels innermost, for which CPUs and GPUs have their fastest code, and a maximum
over a window is that of shifted slices. Normalisations are folded into the convolutions before
them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from typing_extensions import override

from mmvt.features.s3d.network import (
    MIXED,
    POOLS,
    ConvNorm,
    Gating,
    Mixed,
    S3DNetwork,
    SeparableConvNorm,
    check_even,
)

_AT_A_TIME = 5  # of the 15 frames that 30 become


class FastS3D(nn.Module):
    """The video side of S3D, for inference only.

    Args:
        network: whose weights it takes; it stays as it is.
    """

    def __init__(self, network: S3DNetwork) -> None:
        super().__init__()
        weight, bias = _folded(network.conv1.conv1, network.conv1.bn1)
        # a kernel over two frames is one over the channels of both
        self.conv1 = _ConvReLU(weight.transpose(1, 2).flatten(1, 2), bias, (0, 0))
        self.conv_2b = _point(network.conv_2b)
        self.conv_2c = _Separable(network.conv_2c)
        self.gating = _Gate(network.gating)
        self.mixed = nn.ModuleDict(
            {name: _Mixed(network.get_submodule(name)) for name, _, _ in MIXED}
        )
        self.fc = _linear(network.fc)
        self.eval().requires_grad_(False)

    @override
    def forward(
        self, clips: Float[Tensor, "b 3 frames height width"]
    ) -> dict[str, Float[Tensor, "b dim"]]:
        """Return what :class:`S3DNetwork` does."""
        x = self.conv_2c(self._frames(clips))
        gates = self.gating(x)
        # gates are above zero, so that maxima can be scaled in place of what they are taken of
        x = _down(x, "mixed_3b").mul_(gates)
        for name, mixed in self.mixed.items():
            x = mixed(_down(x, name) if name in POOLS and name != "mixed_3b" else x)
        mean = _mean(x)
        return {"video_embedding": self.fc(mean), "mixed_5c": mean}

    def _frames(self, clips: Float[Tensor, "b 3 frames h w"]) -> Float[Tensor, "b t h2 w2 64"]:
        """Return the maps of the first two convolutions, made of some frames at a time.

        These are the largest maps; those of a few frames fit the caches, and need less memory.
        """
        check_even(clips)
        parts = []
        for first in range(0, clips.shape[2], 2 * _AT_A_TIME):
            pairs = _two_frames_each(clips[:, :, first : first + 2 * _AT_A_TIME + 2])
            x = self.conv1(pairs[:, :_AT_A_TIME])
            parts.append(self.conv_2b(_down(x, "conv_2b")))
        return torch.cat(parts, dim=1)


class _ConvReLU(nn.Module):
    """A 2-D convolution with ReLU, in one step where the CPU library can do that."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, padding: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.padding = padding
        self.fused = torch.backends.mkldnn.is_available() and hasattr(
            torch.ops.mkldnn, "_convolution_pointwise"
        )

    @override
    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h2 w2 c2"]:
        """Convolve each frame."""
        return self.pictures(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def pictures(self, x: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h2 w2 c2"]:
        """Convolve pictures."""
        x = x.permute(0, 3, 1, 2)
        if self.fused and x.device.type == "cpu":
            one = (1, 1)  # stride, and dilation
            y = torch.ops.mkldnn._convolution_pointwise(
                x, self.weight, self.bias, self.padding, one, one, 1, "relu", [], ""
            )
        else:
            y = functional.conv2d(x, self.weight, self.bias, padding=self.padding).relu_()
        return y.permute(0, 2, 3, 1)


class _Separable(nn.Module):
    """A convolution of each frame, then one over time."""

    def __init__(self, plain: SeparableConvNorm) -> None:
        super().__init__()
        weight, bias = _folded(plain.conv1, plain.bn1)
        self.space = _ConvReLU(weight[:, :, 0], bias, (1, 1))
        weight, bias = _folded(plain.conv2, plain.bn2)
        self.time = _ConvReLU(weight[..., 0], bias, (1, 0))

    @override
    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c2"]:
        x = self.space(x)
        # a clip as a picture: a row holds all pixels of a frame
        return self.time.pictures(x.flatten(2, 3)).unflatten(2, x.shape[2:4])


class _Gate(nn.Module):
    """What each channel is scaled by."""

    def __init__(self, plain: Gating) -> None:
        super().__init__()
        self.fc = _linear(plain.fc)

    @override
    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b 1 1 1 c"]:
        return torch.sigmoid(self.fc(_mean(x)))[:, None, None, None]


class _Mixed(nn.Module):
    """Four gated branches side by side."""

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        assert isinstance(plain, Mixed)
        self.points = nn.ModuleList(
            map(_point, (plain.conv_b0, plain.conv_b1_a, plain.conv_b2_a, plain.conv_b3_b))
        )
        self.b1, self.b2 = _Separable(plain.conv_b1_b), _Separable(plain.conv_b2_b)
        gatings = (plain.gating_b0, plain.gating_b1, plain.gating_b2, plain.gating_b3)
        self.gates = nn.ModuleList(map(_Gate, gatings))

    @override
    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c2"]:
        around = x
        for dim in (1, 2, 3):
            around = _maxima(around, dim, 3, 1)
        point0, point1, point2, point3 = self.points
        branches = (point0(x), self.b1(point1(x)), self.b2(point2(x)), point3(around))
        joined = x.new_empty(*x.shape[:4], sum(y.shape[-1] for y in branches))
        parts = joined.split([y.shape[-1] for y in branches], dim=-1)
        for y, gate, part in zip(branches, self.gates, parts, strict=True):
            torch.mul(y, gate(y), out=part)
        return joined


def _down(x: Float[Tensor, "b t h w c"], name: str) -> Float[Tensor, "b t2 h2 w2 c"]:
    """Return the maxima that the part called ``name`` reads: of fewer frames, and smaller."""
    for dim, (size, stride) in enumerate(zip(*POOLS[name], strict=True), start=1):
        x = _maxima(x, dim, size, stride) if size > 1 else x
    return x


def _maxima(x: Tensor, dim: int, size: int, stride: int) -> Tensor:
    """Return the maxima of windows of 2 or 3 along a dimension.

    Windows of stride 1 are centred, those of stride 2 begin at their place; what overhangs is left
    out. The network pads with zeros where the stride is 2. No number here is below zero, as all
    come from a ReLU or are scaled by a sigmoid, so that both give the same.
    """
    here, after = (_every(x, dim, first, stride) for first in (0, 1))
    result = here.new_empty(here.shape)
    pairs = after.shape[dim]
    torch.maximum(here.narrow(dim, 0, pairs), after, out=result.narrow(dim, 0, pairs))
    alone = here.shape[dim] - pairs
    result.narrow(dim, pairs, alone).copy_(here.narrow(dim, pairs, alone))
    if size == 3:
        third = x.narrow(dim, 0, pairs) if stride == 1 else _every(x, dim, 2, stride)
        reached = result.narrow(dim, 2 - stride, third.shape[dim])
        torch.maximum(reached, third, out=reached)
    return result


def _every(x: Tensor, dim: int, first: int, stride: int) -> Tensor:
    return x[(slice(None),) * dim + (slice(first, None, stride),)]


def _two_frames_each(
    clips: Float[Tensor, "b 3 frames h w"],
) -> Float[Tensor, "b t h2 w2 48"]:
    """Return 2 × 2 × 2 blocks as channels beside those of the next frame, padded for conv1."""
    blocks = clips.unflatten(4, (-1, 2)).unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
    blocks = blocks.permute(0, 2, 4, 6, 3, 5, 7, 1)
    batch, time, height, width = blocks.shape[:4]
    pairs = clips.new_zeros(batch, time, height + 3, width + 3, 2, *blocks.shape[4:])
    inner = pairs[:, :, 1:-2, 1:-2]
    inner[..., 0, :, :, :, :] = blocks
    inner[:, :-1, ..., 1, :, :, :, :] = inner[:, 1:, ..., 0, :, :, :, :]
    return pairs.flatten(4)


def _mean(x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b c"]:
    return x.flatten(1, 3).mean(dim=1)


def _point(plain: ConvNorm) -> _ConvReLU:
    weight, bias = _folded(plain.conv1, plain.bn1)
    return _ConvReLU(weight[:, :, 0], bias, (0, 0))


def _folded(conv: nn.Conv3d, norm: nn.BatchNorm3d) -> tuple[Tensor, Tensor]:
    """Return (weight, bias) of a convolution and the normalisation after it in one."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    weight, bias = fuse_conv_bn_weights(
        conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return weight.detach(), bias.detach()


def _linear(plain: nn.Linear) -> nn.Linear:
    made = nn.Linear(plain.in_features, plain.out_features)
    made.load_state_dict(plain.state_dict())
    return made
