"""Finds models of transformers, loads them safely, and reads how their input is normalised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModel, PreTrainedModel
from transformers.utils.hub import cached_file

from mmvt.errors import CheckpointError, MissingWeightsError

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def source_of(model: str) -> str:
    """Return the folder of a model, else its name on the hub."""
    for folder in (Path(model), Path("pretrained_models") / model):
        if folder.is_dir():
            return str(folder)
    return model


def load_network(
    model: str, *, dtype: str, unused: Callable[[str], bool] = lambda key: False
) -> tuple[PreTrainedModel, list[str]]:
    """Return a frozen network, and the weights that its files hold and it has no place for.

    Weights are read from safetensors only, and no code that lies beside them is run.

    Args:
        model: folder, folder in ``pretrained_models/``, or name on the hub.
        dtype: number format, such as ``float32``.
        unused: whether a weight may be missing, by its key.

    Raises:
        MissingWeightsError: there is no such model here, or files of it are missing.
        CheckpointError: transformers does not know the model, or its weights are damaged or lack
            some.
    """
    try:
        network, report = AutoModel.from_pretrained(
            source_of(model),
            dtype=DTYPES[dtype],
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except OSError as error:
        raise _missing(model, error) from error
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{model}: {error}") from error
    absent = sorted(key for key in report["missing_keys"] if not unused(key))
    if absent:
        hint = "; try output: cls or grid" if all("pool" in key for key in absent) else ""
        raise CheckpointError(f"{model} has no weights for {', '.join(absent[:5])}{hint}")
    return network.eval().requires_grad_(False), sorted(report["unexpected_keys"])


def state_sha256(network: torch.nn.Module) -> str:
    """Return the sha256 of all tensors of a network, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def preprocessor(model: str) -> dict[str, Any]:
    """Return the image settings that were saved with a model.

    Raises:
        MissingWeightsError: there are none.
        CheckpointError: they are no JSON.
    """
    try:
        for name in ("preprocessor_config.json", "processor_config.json"):
            path = cached_file(source_of(model), name, _raise_exceptions_for_missing_entries=False)
            if path is not None:
                settings: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
                return dict(settings.get("image_processor", settings))
    except OSError as error:
        raise _missing(model, error) from error
    except ValueError as error:
        raise CheckpointError(f"{model}: its {name} is not valid JSON: {error}") from error
    raise _missing(model, "it has no preprocessor_config.json.")


def normalisation(settings: Mapping[str, Any], device: torch.device) -> tuple[Tensor, Tensor]:
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


def setting(network: PreTrainedModel, name: str) -> Any:
    """Return a value from the configuration of a network, or of its vision half; None if unset."""
    config = network.config.to_dict()
    return config.get("vision_config", config).get(name)


def _missing(model: str, reason: object) -> MissingWeightsError:
    first = str(reason).splitlines()[0]
    folder = source_of(model)
    if not Path(folder).is_dir():
        folder = f"pretrained_models/{model}"
    return MissingWeightsError(
        f"the model {model!r} is not here: {first} Put its config.json, preprocessor_config.json "
        f"and model.safetensors into {folder}/, or run once with a network."
    )
