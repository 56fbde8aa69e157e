"""Merges configurations: one layer over another, with the origin of every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmvt.config.yaml_file import parse_yaml
from mmvt.errors import ConfigError

Keys = tuple[str, ...]
COMMAND_LINE = "command line"


@dataclass
class Layer:
    """A configuration, or a part of one.

    Attributes:
        data: plain containers.
        origins: ``file:line`` of every key, by path of keys.
    """

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Keys, str] = field(default_factory=dict)

    def under(self, *keys: str) -> Layer:
        """Return the mapping found under ``keys`` as a layer of its own."""
        data: Any = self.data
        for key in keys:
            data = data.get(key, {})
        n = len(keys)
        origins = {path[n:]: line for path, line in self.origins.items() if path[:n] == keys}
        return Layer(dict(data), origins)

    def without(self, *names: str) -> Layer:
        """Return the layer without some of its top-level keys."""
        data = {key: value for key, value in self.data.items() if key not in names}
        return Layer(data, {k: v for k, v in self.origins.items() if k and k[0] not in names})


def merge(base: Layer, over: Layer) -> Layer:
    """Return ``base`` with ``over`` laid on top.

    Mappings merge, lists and values replace, null unsets. A mapping that names another plugin
    replaces; one without a name keeps the plugin that ``base`` names in short form.
    """
    return Layer(_merge(base.data, over.data), base.origins | over.origins)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = _merge(_mergeable(result.get(key), value), value)
        else:
            result[key] = value
    return result


def _mergeable(base: Any, over: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what of ``base`` survives under the mapping ``over``."""
    if isinstance(base, str):
        base = {"name": base}
    if not isinstance(base, Mapping) or over.get("name", base.get("name")) != base.get("name"):
        return {}
    return base


def read_overrides(arguments: list[str]) -> Layer:
    """Return the layer of ``key.sub=value`` arguments; values are YAML.

    Raises:
        ConfigError: an argument has no ``=`` or its value is no YAML.
    """
    layer, problems = Layer(), []
    for argument in arguments:
        name, sign, text = argument.partition("=")
        if not sign or not all(name.split(".")):
            problems.append(f"{COMMAND_LINE}: {argument!r} is not of the form key.sub=value")
            continue
        value = parse_yaml(f"value: {text}", Path(f"{COMMAND_LINE} ({argument})")).data["value"]
        keys = tuple(name.split("."))
        single: Any = value
        for key in reversed(keys):
            single = {key: single}
        # an explicit null must survive until it unsets a key of the layer below
        layer.data = _overlay(layer.data, single)
        layer.origins[keys] = COMMAND_LINE
    if problems:
        raise ConfigError(problems)
    return layer


def _overlay(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = _overlay(dict(below), value)
        else:
            result[key] = value
    return result


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return plain containers as YAML text, keys in their order."""
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100)
