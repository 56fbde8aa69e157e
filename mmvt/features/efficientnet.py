"""EfficientNet-Lite0, an image classifier that is fast on a CPU, as a feature encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from typing_extensions import override

from mmvt.errors import CheckpointError, ConfigError
from mmvt.features.base import FeatureEncoder
from mmvt.features.weights import weight_file
from mmvt.files import sha256_file

# blocks, kernel, stride of the first, expansion, output channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
WIDTH = 1280
CLASSES = 1000
_NORM_EPS = 1e-3


class EfficientNetLite0(FeatureEncoder):
    """EfficientNet-Lite0 trained on ImageNet: pooled features, a grid of them, or probabilities.

    The weights come with ``mmvt setup demo``. Frames are scaled to [-1, 1).

    Args:
        output: ``pooled`` (1280), ``grid`` (1280 a cell) or ``probabilities`` (1000 classes).
        grid: cells a side of the ``grid`` output.
        frame_size: height and width of the frames in pixels; trained at 224.
        device: where it runs, such as ``cpu`` or ``cuda``.

    Raises:
        ConfigError: ``grid`` and ``output`` contradict each other, or a size is out of range.
        MissingWeightsError: the weights are not installed.
        CheckpointError: the file does not hold these weights.

    Source: EfficientNet (arXiv 1905.11946); its Lite variant drops squeeze-and-excitation, uses
    ReLU6, and keeps stem and head at fixed width.
    """

    def __init__(
        self,
        *,
        output: Literal["pooled", "grid", "probabilities"] = "pooled",
        grid: int = 1,
        frame_size: int = 224,
        device: str = "cpu",
    ) -> None:
        if output != "grid" and grid != 1:
            raise ConfigError(f"grid={grid} needs output='grid', not {output!r}")
        if grid < 1:
            raise ConfigError(f"grid must be at least 1, not {grid}")
        if frame_size < 32:
            raise ConfigError(f"frame_size must be at least 32, not {frame_size}")
        self.output = output
        self.grid = grid
        self.frame_size = frame_size
        self.dim = CLASSES if output == "probabilities" else WIDTH
        path = weight_file("efficientnet-lite0")
        self._sha256 = sha256_file(path)
        self.device = torch.device(device)
        self.network = load_network(path).fused().to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights."""
        return {
            "name": type(self).__name__,
            "output": self.output,
            "grid": self.grid,
            "frame_size": self.frame_size,
            "weights_sha256": self._sha256,
        }

    @override
    @torch.inference_mode()
    def encode(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> Float[Tensor, "steps grid2 dim"]:
        """Return the features of frames, one step a frame."""
        pixels = frames.to(self.device).permute(0, 3, 1, 2)
        images = pixels.to(torch.float32, memory_format=torch.channels_last) / 127.5 - 1
        maps = self.network.maps(images)
        if self.output == "probabilities":
            probabilities = self.network.logits(maps).softmax(dim=-1)
            return probabilities.unsqueeze(1).cpu()
        cells = functional.adaptive_avg_pool2d(maps, self.grid)
        return cells.flatten(2).transpose(1, 2).contiguous().cpu()


class Network(nn.Module):
    """The plain network, built without weights: stem, 16 inverted bottlenecks, head, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _ConvNorm(3, STEM_CHANNELS, kernel=3, stride=2)
        blocks, channels = [], STEM_CHANNELS
        for repeats, kernel, stride, expansion, width in STAGES:
            for index in range(repeats):
                first = index == 0
                blocks.append(_Block(channels, width, kernel, stride if first else 1, expansion))
                channels = width
        self.blocks = nn.ModuleList(blocks)
        self.head = _ConvNorm(channels, WIDTH, kernel=1)
        self.classifier = nn.Linear(WIDTH, CLASSES)

    def maps(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1280 rows columns"]:
        """Return the last feature maps of images in [-1, 1); a cell covers 32 × 32 pixels."""
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def logits(self, maps: Float[Tensor, "b 1280 rows columns"]) -> Float[Tensor, "b 1000"]:
        """Return the class logits of feature maps."""
        return self.classifier(maps.mean(dim=(2, 3)))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1000"]:
        """Return the class logits of images in [-1, 1)."""
        return self.logits(self.maps(images))

    def fused(self) -> Network:
        """Return self for inference, with every batch normalisation folded into its convolution."""
        for module in self.eval().requires_grad_(False).modules():
            if isinstance(module, _ConvNorm):
                module.fuse()
        return self


class _ConvNorm(nn.Module):
    """Convolution with TensorFlow's "same" padding, batch normalisation and, by default, ReLU6."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding=padding, groups=groups, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=_NORM_EPS)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if stride > 1:  # the odd pixel of padding goes to the right and to the bottom
            down, across = (kernel - 1 - (size - 1) % stride for size in x.shape[2:])
            x = functional.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        x = self.norm(self.conv(x))
        return functional.relu6(x, inplace=True) if self.active else x

    def fuse(self) -> None:
        """Fold the normalisation into the convolution."""
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d):
            return
        assert norm.running_mean is not None
        assert norm.running_var is not None
        self.conv.weight, self.conv.bias = fuse_conv_bn_weights(
            self.conv.weight,
            None,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        self.norm = nn.Identity()


class _Block(nn.Module):
    """An inverted bottleneck: widen, filter each channel, narrow; a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _ConvNorm(inputs, inner, kernel=1) if expansion > 1 else nn.Identity()
        self.filter = _ConvNorm(inner, inner, kernel=kernel, stride=stride, groups=inner)
        self.project = _ConvNorm(inner, outputs, kernel=1, active=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.filter(self.expand(x)))
        return y.add_(x) if self.shortcut else y


def load_network(path: Path) -> Network:
    """Return the network with the weights of a checkpoint in the layout of its first PyTorch port.

    Args:
        path: a file of tensors written by ``torch.save``; nothing but tensors is loaded.

    Raises:
        CheckpointError: the file is unsafe or does not fit.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = Network()
        network.load_state_dict({_our_name(key): value for key, value in state.items()})
    except (RuntimeError, ValueError, KeyError, EOFError, AttributeError, UnpicklingError) as error:
        raise CheckpointError(f"{path}: no weights of EfficientNet-Lite0: {error}") from error
    return network


def _our_name(key: str) -> str:
    """Return our name of a tensor called ``key`` in the checkpoint."""
    *scope, layer, tensor = key.split(".")
    if not scope:
        part = {
            "_conv_stem": "stem.conv",
            "_bn0": "stem.norm",
            "_conv_head": "head.conv",
            "_bn1": "head.norm",
            "_fc": "classifier",
        }[layer]
        return f"{part}.{tensor}"
    part = {
        "_expand_conv": "expand.conv",
        "_bn0": "expand.norm",
        "_depthwise_conv": "filter.conv",
        "_bn1": "filter.norm",
        "_project_conv": "project.conv",
        "_bn2": "project.norm",
    }[layer]
    return f"blocks.{scope[1]}.{part}.{tensor}"
