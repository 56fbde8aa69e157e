"""Any Hugging Face vision or CLIP-like model as a feature encoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel
from transformers.utils.hub import cached_file
from typing_extensions import override

from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError
from mmvt.features.base import FeatureEncoder

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class HFVisionEncoder(FeatureEncoder):
    """A vision model of transformers, or the vision half of a CLIP-like model, frame by frame.

    ``model`` is a folder, a folder in ``pretrained_models/``, or a name on the hub (from the cache
    where there is no network). Weights are read from safetensors only and no code of the model is
    run. Frames are cut square by the reader, then normalised as the model's own preprocessor says.

    Args:
        model: folder or name, such as ``openai/clip-vit-base-patch32``.
        output: ``pooled`` (of CLIP: in the space shared with text), ``cls`` (first token of the
            last layer) or ``grid`` (its patches, averaged to cells).
        grid: cells a side of the ``grid`` output; 1 is the mean of all patches.
        frame_size: height and width of the frames in pixels; None is what the model was made for.
        dtype: number format in which the model runs.
        device: where it runs, such as ``cpu`` or ``cuda``.

    Raises:
        ConfigError: ``grid`` and ``output`` contradict each other.
        MissingWeightsError: there is no such model here, or files of it are missing.
        CheckpointError: it is no vision model, or lacks weights that ``output`` needs.
    """

    def __init__(
        self,
        *,
        model: str,
        output: Literal["pooled", "cls", "grid"] = "pooled",
        grid: int = 1,
        frame_size: int | None = None,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: str = "cpu",
    ) -> None:
        if grid < 1 or (output != "grid" and grid != 1):
            raise ConfigError(f"grid={grid} does not go with output={output!r}")
        self.model_name = model
        self.output = output
        self.grid = grid
        self.device = torch.device(device)
        source = _source(model)
        self.network = _load(source, model, output, DTYPES[dtype])
        self._sha256 = state_sha256(self.network)
        self.network.to(self.device)  # type: ignore[arg-type]
        settings = _preprocessor(source, model)
        self.frame_size = frame_size or _frame_size(settings, model)
        self._mean, self._std = _normalisation(settings, self.device)
        self._dtype_name = dtype
        black = torch.zeros(1, self.frame_size, self.frame_size, 3, dtype=torch.uint8)
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
        if isinstance(self.network, _ImageTextModel):
            result = self.network.get_image_features(pixel_values=images)
        else:
            result = self.network(pixel_values=images)
        if self.output == "pooled":
            rows: Tensor = result.pooler_output.flatten(1).unsqueeze(1)
        else:
            rows = self._tokens(result.last_hidden_state)
        return rows.float().contiguous().cpu()

    def _tokens(self, hidden: Tensor) -> Tensor:
        if hidden.ndim == 3:
            # patches come last: after a class token, register tokens, or neither
            side = self.frame_size // _patch_size(self.network, self.model_name)
            others = hidden.shape[1] - side * side
            if self.output == "cls" and others > 0:
                return hidden[:, :1]
            patches = hidden[:, others:].transpose(1, 2)
            hidden = patches.reshape(*patches.shape[:2], side, side)
        if self.output == "cls":
            raise CheckpointError(f"{self.model_name} has no class token; use output: pooled")
        cells = functional.adaptive_avg_pool2d(hidden.float(), self.grid)
        return cells.flatten(2).transpose(1, 2)


@runtime_checkable
class _ImageTextModel(Protocol):
    def get_image_features(self, *, pixel_values: Tensor) -> Any: ...


def state_sha256(network: torch.nn.Module) -> str:
    """Return the sha256 of all tensors of a network, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _source(model: str) -> str:
    """Return the folder of a model, else its name on the hub."""
    for folder in (Path(model), Path("pretrained_models") / model):
        if folder.is_dir():
            return str(folder)
    return model


def _missing(model: str, reason: object) -> MissingWeightsError:
    first = str(reason).splitlines()[0]
    return MissingWeightsError(
        f"the model {model!r} is not here: {first} Put its config.json, preprocessor_config.json "
        f"and model.safetensors into pretrained_models/{model}/, or run once with a network."
    )


def _load(source: str, model: str, output: str, dtype: torch.dtype) -> PreTrainedModel:
    try:
        network, report = AutoModel.from_pretrained(
            source,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except OSError as error:
        raise _missing(model, error) from error
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{model}: {error}") from error
    absent = sorted(k for k in report["missing_keys"] if output == "pooled" or "pool" not in k)
    if absent:
        hint = "; try output: cls or grid" if all("pool" in key for key in absent) else ""
        raise CheckpointError(f"{model} has no weights for {', '.join(absent[:5])}{hint}")
    if output == "pooled" and any("projection" in k for k in report["unexpected_keys"]):
        raise CheckpointError(
            f"{model}: only its vision half is there; pooled needs the whole model"
        )
    if network.main_input_name != "pixel_values" and not isinstance(network, _ImageTextModel):
        raise CheckpointError(f"{model} ({type(network).__name__}) takes no images")
    return network.eval().requires_grad_(False)


def _preprocessor(source: str, model: str) -> dict[str, Any]:
    """Return the image settings that were saved with a model."""
    try:
        for name in ("preprocessor_config.json", "processor_config.json"):
            path = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
            if path is not None:
                settings: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
                return dict(settings.get("image_processor", settings))
    except OSError as error:
        raise _missing(model, error) from error
    raise _missing(model, "it has no preprocessor_config.json.")


def _frame_size(settings: Mapping[str, Any], model: str) -> int:
    size = settings.get("crop_size") if settings.get("do_center_crop") else settings.get("size")
    if isinstance(size, Mapping):
        size = size.get("height", size.get("shortest_edge"))
    if not isinstance(size, int):
        raise CheckpointError(f"{model}: its preprocessor names no frame size; set frame_size")
    return size


def _normalisation(settings: Mapping[str, Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (mean, standard deviation) of a channel, for pixels from 0 to 255."""
    mean, std = [0.0] * 3, [1.0] * 3
    if settings.get("do_normalize", True):
        mean, std = settings.get("image_mean", mean), settings.get("image_std", std)
    scale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    shape = (3, 1, 1)
    return (
        torch.tensor(mean, device=device).view(shape) / scale,
        torch.tensor(std, device=device).view(shape) / scale,
    )


def _patch_size(network: PreTrainedModel, model: str) -> int:
    config = network.config.to_dict()
    patch = config.get("vision_config", config).get("patch_size")
    if not isinstance(patch, int):
        raise CheckpointError(f"{model}: has no grid of patches; use output: pooled")
    return patch
