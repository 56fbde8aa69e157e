"""Any Hugging Face vision or CLIP-like model as a feature encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class HFVisionEncoder(FeatureEncoder):
    """A vision model of transformers, or the vision half of a CLIP-like model, frame by frame.

    ``model`` is a folder, a folder in ``pretrained_models/``, or a name on the hub (from the cache
    where there is no network). Weights are read from safetensors only and no code of the model is
    run. Frames are cut square by the reader, then normalised as the model's own preprocessor says.

    Args:
        model: folder or name, such as ``openai/clip-vit-base-patch32``.
        output: ``pooled`` (of CLIP: in the space shared with text), ``cls`` (first token),
            ``patches`` (all others) or ``grid`` (patches, averaged to cells).
        grid: cells a side of the ``grid`` output; 1 is the mean of all patches.
        layers: hidden states that ``cls``, ``patches`` and ``grid`` are of, side by side in one
            row: 0 is what goes into the first layer, -1 what the last one gives; null is the final
            output of the model.
        frame_size: height and width of the frames in pixels; None is what the model was made for.
        dtype: number format in which the model runs.
        device: where it runs, such as ``cpu`` or ``cuda``.

    Raises:
        ConfigError: ``grid`` or ``layers`` contradicts ``output``, there is no such layer, or the
            model takes no frames of this size.
        MissingWeightsError: there is no such model here, or files of it are missing.
        CheckpointError: it is no vision model, or lacks weights that ``output`` needs.
    """

    def __init__(
        self,
        *,
        model: str,
        output: Literal["pooled", "cls", "patches", "grid"] = "pooled",
        grid: int = 1,
        layers: Sequence[int] | None = None,
        frame_size: int | None = None,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: str = "cpu",
    ) -> None:
        if grid < 1 or (output != "grid" and grid != 1):
            raise ConfigError(f"grid={grid} does not go with output={output!r}")
        if layers is not None and (output == "pooled" or not layers):
            raise ConfigError(f"layers={list(layers)} does not go with output={output!r}")
        if frame_size is not None and frame_size < 1:
            raise ConfigError(f"frame_size must be at least 1, not {frame_size}")
        self.model_name = model
        self.output = output
        self.layers = None if layers is None else tuple(layers)
        self.device = torch.device(device)
        self.network = _load(model, output, dtype)
        self._sha256 = state_sha256(self.network)
        self.network.to(self.device)  # type: ignore[arg-type]
        settings = preprocessor(model)
        self.frame_size = frame_size or _frame_size(settings, model)
        self._mean, self._std = normalisation(settings, self.device)
        self._dtype_name = dtype
        self.grid = self._side() if output == "patches" else grid
        self.dim = self._width()

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights."""
        chosen = {} if self.layers is None else {"layers": list(self.layers)}
        return {
            "name": type(self).__name__,
            "model": self.model_name,
            "output": self.output,
            "grid": self.grid,
            **chosen,
            "frame_size": self.frame_size,
            "dtype": self._dtype_name,
            "weights_sha256": self._sha256,
        }

    @override
    @torch.inference_mode()
    def encode(
        self, frames: UInt8[Tensor, "frames height width 3"]
    ) -> Float[Tensor, "steps grid2 dim"]:
        """Return the features of frames, one step a frame."""
        pixels = frames.to(self.device, torch.float32).permute(0, 3, 1, 2)
        images = ((pixels - self._mean) / self._std).to(self.network.dtype)
        wanted = {} if self.layers is None else {"output_hidden_states": True}
        if isinstance(self.network, _ImageTextModel):
            result = self.network.get_image_features(pixel_values=images, **wanted)
        else:
            result = self.network(pixel_values=images, **wanted)
        if self.output == "pooled":
            rows: Tensor = result.pooler_output.flatten(1).unsqueeze(1)
        elif self.layers is None:
            rows = self._tokens(result.last_hidden_state)
        else:
            rows = self._chosen(result.hidden_states)
        return rows.float().contiguous().cpu()

    def _width(self) -> int:
        """Return the width of a row, by encoding a black frame."""
        size = self.frame_size
        try:
            return self.encode(torch.zeros(1, size, size, 3, dtype=torch.uint8)).shape[-1]
        except (ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{self.model_name} takes no frames of {size} × {size} pixels: {error}"
            ) from error

    def _chosen(self, states: Sequence[Tensor]) -> Tensor:
        assert self.layers is not None
        if absent := [n for n in self.layers if not -len(states) <= n < len(states)]:
            raise ConfigError(
                f"{self.model_name} has hidden states 0 to {len(states) - 1}; there are no layers "
                f"{absent}"
            )
        return torch.cat([self._tokens(states[number]) for number in self.layers], dim=-1)

    def _tokens(self, hidden: Tensor) -> Tensor:
        if hidden.ndim == 3:
            # patches come last: after a class token, register tokens, or neither
            side = self._side()
            others = hidden.shape[1] - side * side
            if self.output == "cls" and others > 0:
                return hidden[:, :1]
            patches = hidden[:, others:].transpose(1, 2)
            hidden = patches.reshape(*patches.shape[:2], side, side)
        if self.output == "cls":
            raise CheckpointError(f"{self.model_name} has no class token; use output: pooled")
        cells = functional.adaptive_avg_pool2d(hidden.float(), self.grid)
        return cells.flatten(2).transpose(1, 2)

    def _side(self) -> int:
        """Return the number of patches along a side of a frame."""
        patch = setting(self.network, "patch_size")
        if not isinstance(patch, int):
            raise CheckpointError(f"{self.model_name}: has no grid of patches; use output: pooled")
        return self.frame_size // patch


@runtime_checkable
class _ImageTextModel(Protocol):
    def get_image_features(self, *, pixel_values: Tensor, **options: bool) -> Any: ...


def _load(model: str, output: str, dtype: str) -> PreTrainedModel:
    network, unexpected = load_network(
        model, dtype=dtype, unused=lambda key: output != "pooled" and "pool" in key
    )
    if output == "pooled" and any("projection" in key for key in unexpected):
        raise CheckpointError(
            f"{model}: only its vision half is there; pooled needs the whole model"
        )
    if network.main_input_name != "pixel_values" and not isinstance(network, _ImageTextModel):
        raise CheckpointError(f"{model} ({type(network).__name__}) takes no images")
    if setting(network, "num_frames") is not None:
        raise CheckpointError(
            f"{model} ({type(network).__name__}) takes clips of video; use HFVideoEncoder"
        )
    return network


def _frame_size(settings: Mapping[str, Any], model: str) -> int:
    size = settings.get("crop_size") if settings.get("do_center_crop") else settings.get("size")
    if isinstance(size, Mapping):
        size = size.get("height", size.get("shortest_edge"))
    if not isinstance(size, int):
        raise CheckpointError(f"{model}: its preprocessor names no frame size; set frame_size")
    return size
