"""Video models of transformers as feature encoders: VideoMAE, TimeSformer, ViViT and X-CLIP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel
from typing_extensions import override

from mmvt.errors import CheckpointError, ConfigError
from mmvt.features.base import FeatureEncoder
from mmvt.features.hf.loading import (
    load_network,
    normalisation,
    preprocessor,
    setting,
    state_sha256,
)


class HFVideoEncoder(FeatureEncoder):
    """A video model of transformers: VideoMAE, TimeSformer, ViViT or X-CLIP, clip by clip.

    ``model`` is a folder, a folder in ``pretrained_models/``, or a name on the hub (from the cache
    where there is no network); see :class:`~mmvt.features.hf.image.HFVisionEncoder`. A clip has the
    frames and the size that the model was made for. Consecutive clips do not overlap.

    Args:
        model: folder or name, such as ``MCG-NJU/videomae-base``.
        output: ``pooled`` (of X-CLIP: in the space shared with text; else the mean of all tokens),
            ``cls`` (class token: TimeSformer, ViViT), ``clip`` (tokens, averaged over time and to
            cells) or ``tubelets`` (the same for each moment that the model tells apart: a step for
            two frames of VideoMAE, for one of TimeSformer and X-CLIP).
        grid: cells a side of the ``clip`` and ``tubelets`` outputs; 1 is the mean.
        frames_per_second: rate of the frames in a clip, such as 7.5 for every fourth frame of 30 a
            second, with which VideoMAE is trained; null: as many as give ``fps`` steps a second.
        dtype: number format in which the model runs.
        device: where it runs, such as ``cpu`` or ``cuda``.

    Raises:
        ConfigError: ``grid`` or the rate is out of range, or contradicts ``output``.
        MissingWeightsError: there is no such model here, or files of it are missing.
        CheckpointError: it is none of these models, or lacks weights that ``output`` needs.

    Source: arXiv 2203.12602 (VideoMAE), 2102.05095 (TimeSformer), 2103.15691 (ViViT) and
    2208.02816 (X-CLIP).
    """

    def __init__(
        self,
        *,
        model: str,
        output: Literal["pooled", "cls", "clip", "tubelets"] = "pooled",
        grid: int = 1,
        frames_per_second: float | None = None,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: str = "cpu",
    ) -> None:
        if grid < 1 or (output not in ("clip", "tubelets") and grid != 1):
            raise ConfigError(f"grid={grid} does not go with output={output!r}")
        if frames_per_second is not None and not frames_per_second > 0:
            raise ConfigError(f"frames_per_second must be positive, not {frames_per_second}")
        self.model_name = model
        self.output = output
        self.grid = grid
        self.frames_per_second = frames_per_second
        self.device = torch.device(device)
        self.network, self._form = _load(model, output, dtype)
        self._sha256 = state_sha256(self.network)
        self.network.to(self.device)  # type: ignore[arg-type]
        self._mean, self._std = normalisation(preprocessor(model), self.device)
        self._dtype_name = dtype
        self.frame_size = setting(self.network, "image_size")
        self.clip_frames = setting(self.network, "num_frames")
        self._moments = self.clip_frames // self._form.tubelet_frames(self.network)
        self.steps_a_clip = self._moments if output == "tubelets" else 1
        black = torch.zeros(self.clip_frames, *[self.frame_size] * 2, 3, dtype=torch.uint8)
        self.dim = self.encode(black).shape[-1]

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights."""
        return {
            "name": type(self).__name__,
            "model": self.model_name,
            "output": self.output,
            "grid": self.grid,
            "clip_frames": self.clip_frames,
            "frames_per_second": self.frames_per_second,
            "frame_size": self.frame_size,
            "dtype": self._dtype_name,
            "weights_sha256": self._sha256,
        }

    @override
    @torch.inference_mode()
    def encode(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> Float[Tensor, "steps grid2 dim"]:
        """Return the features of whole clips."""
        pixels = frames.to(self.device, torch.float32).permute(0, 3, 1, 2)
        images = ((pixels - self._mean) / self._std).to(self.network.dtype)
        clips = images.unflatten(0, (-1, self.clip_frames))
        if isinstance(self.network, _VideoTextModel):
            result = self.network.get_video_features(pixel_values=clips)
            if self.output == "pooled":
                return result.pooler_output.unsqueeze(1).float().cpu()
        else:
            result = self.network(pixel_values=clips)
        tokens = result.last_hidden_state.float()
        if self.output == "cls":
            return tokens[:, :1].cpu()
        patches = self._form.patches(tokens, self._moments)
        if self.output == "pooled":
            return patches.mean((1, 2)).unsqueeze(1).cpu()
        return self._cells(patches).contiguous().cpu()

    def _cells(self, patches: Float[Tensor, "clips moments patches dim"]) -> Tensor:
        if self.output == "clip":
            patches = patches.mean(dim=1, keepdim=True)
        moments = patches.flatten(0, 1).transpose(1, 2)
        side = self.frame_size // _side(setting(self.network, "patch_size"))
        maps = moments.unflatten(2, (side, side))
        return functional.adaptive_avg_pool2d(maps, self.grid).flatten(2).transpose(1, 2)


@runtime_checkable
class _VideoTextModel(Protocol):
    def get_video_features(self, *, pixel_values: Tensor) -> Any: ...


@dataclass(frozen=True)
class _Form:
    """How a kind of model lays out the tokens of a clip.

    Attributes:
        patches: returns (clips, moments, patches, dim) of its last hidden state and the number of
            moments.
        has_class: whether a clip has a class token, which comes first.
        tubelet_frames: returns the frames of one moment.
    """

    patches: Callable[[Tensor, int], Tensor]
    has_class: bool = False
    tubelet_frames: Callable[[PreTrainedModel], int] = lambda network: 1


_FORMS = {
    "videomae": _Form(
        lambda tokens, moments: tokens.unflatten(1, (moments, -1)),
        tubelet_frames=lambda network: setting(network, "tubelet_size"),
    ),
    "vivit": _Form(
        lambda tokens, moments: tokens[:, 1:].unflatten(1, (moments, -1)),
        has_class=True,
        tubelet_frames=lambda network: setting(network, "tubelet_size")[0],
    ),
    # the moments of a patch follow each other
    "timesformer": _Form(
        lambda tokens, moments: tokens[:, 1:].unflatten(1, (-1, moments)).transpose(1, 2),
        has_class=True,
    ),
    # every frame has a class token of its own
    "xclip": _Form(lambda tokens, moments: tokens[:, 1:].unflatten(0, (-1, moments))),
}


def _load(model: str, output: str, dtype: str) -> tuple[PreTrainedModel, _Form]:
    # the pooling layers of these models are for their own tasks, and not asked for
    network, _ = load_network(model, dtype=dtype, unused=lambda key: "pool" in key)
    kind = network.config.model_type
    if kind not in _FORMS:
        raise CheckpointError(
            f"{model} ({type(network).__name__}) is no video model that is known here "
            f"({', '.join(_FORMS)}); HFVisionEncoder takes models of images"
        )
    if kind == "xclip" and not isinstance(network, _VideoTextModel):
        raise CheckpointError(f"{model}: only a half of X-CLIP is there; it takes the whole model")
    if output == "cls" and not _FORMS[kind].has_class:
        raise CheckpointError(f"{model} has no class token of a clip; use output: pooled")
    return network, _FORMS[kind]


def _side(size: Any) -> int:
    return int(size[0] if isinstance(size, list | tuple) else size)
