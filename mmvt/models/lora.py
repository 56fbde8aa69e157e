"""Low-rank adapters of a language model, through peft: they learn, and all else of it stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from mmvt.errors import ConfigError, did_you_mean, require_package

DEFAULTS: Mapping[str, Any] = {"r": 8, "alpha": 16, "dropout": 0.0, "target_modules": None}
_ADAPTER, _ADAPTED = ".lora_", ".base_layer."  # in keys: of an adapter, of the layer it is beside


def add_lora(network: nn.Module, options: Mapping[str, Any]) -> None:
    """Put adapters beside layers of a network, in place, and freeze its own weights.

    An adapter adds nothing at first, so that outputs stay as they were. The weight of an adapted
    layer moves from ``NAME.weight`` to ``NAME.base_layer.weight``, beside
    ``NAME.lora_A.default.weight`` and ``NAME.lora_B.default.weight``.

    Source: LoRA (arXiv 2106.09685) §4.

    Args:
        network: a language model of transformers.
        options: ``r``, the rank (8); ``alpha``, which over ``r`` scales what adapters add (16);
            ``dropout`` of what they read (0); ``target_modules``, names of the layers (null =
            those that peft takes for this kind of model).

    Raises:
        MissingPackageError: peft is not installed.
        ConfigError: an option does not exist or has no such value, or a layer does not exist.
    """
    if problems := [*_problems(options), *_unknown_layers(network, options)]:
        raise ConfigError(problems)
    require_package("peft", "lora")
    from peft import LoraConfig, inject_adapter_in_model

    chosen = {**DEFAULTS, **options}
    config = LoraConfig(
        r=chosen["r"],
        lora_alpha=chosen["alpha"],
        lora_dropout=chosen["dropout"],
        target_modules=chosen["target_modules"],
    )
    try:
        inject_adapter_in_model(config, network)
    except ValueError as error:
        raise ConfigError(f"lora: {error}") from error


def with_adapters(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of a model without adapters as those of the same model with new ones.

    Args:
        weights: they are returned as they are if they have adapters.
        own: the weights of the model that is to take them; its adapters are taken.
    """
    if any(_ADAPTER in key for key in weights):
        return dict(weights)
    moved = {key.replace(_ADAPTED, "."): key for key in own if _ADAPTED in key}
    renamed = {moved.get(key, key): value for key, value in weights.items()}
    return renamed | {key: value for key, value in own.items() if _ADAPTER in key}


def _problems(options: Mapping[str, Any]) -> Iterator[str]:
    for key, value in options.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key not in DEFAULTS:
            yield f"lora.{key} is no option{did_you_mean(key, DEFAULTS)}"
        elif key == "r" and not (number and isinstance(value, int) and value > 0):
            yield f"lora.r must be a whole number of at least 1, not {value!r}"
        elif key == "alpha" and not (number and value > 0):
            yield f"lora.alpha must be a number above 0, not {value!r}"
        elif key == "dropout" and not (number and 0 <= value < 1):
            yield f"lora.dropout must be a number from 0 to below 1, not {value!r}"
        elif key == "target_modules" and not (value is None or _are_names(value)):
            yield f"lora.target_modules must be a list of names of layers, not {value!r}"


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _unknown_layers(network: nn.Module, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield a problem for each layer that the network lacks; peft is content with one it has."""
    names: Any = options.get("target_modules")
    modules = [name for name, _ in network.named_modules() if name]
    known = dict.fromkeys(name.rpartition(".")[2] for name in modules)
    for wanted in names if _are_names(names) else ():
        if not any(f".{name}".endswith(f".{wanted}") for name in modules):
            hint = did_you_mean(wanted, known)
            yield f"lora.target_modules: {type(network).__name__} has no layer {wanted!r}{hint}"
