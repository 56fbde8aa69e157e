"""Merges configurations: one layer over another, with the origin of every key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from mmvt.config.yaml_file import Dumper, parse_value
from mmvt.errors import ConfigError

Keys = tuple[str, ...]
COMMAND_LINE = "command line"


@dataclass
class Layer:
    """A configuration, or a part of one.

    Attributes:
        data: plain containers; null unsets a key of the layer below, until :meth:`settled`.
        origins: ``file:line`` of every key, by path of keys.
        problems: what was wrong so far; the values that it concerns are ``UNKNOWN``, or left out.
        partial: a whole file is left out, so that any key may be missing because of it.
        notes: keys of the original toolkit that have no meaning here, and why.
    """

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Keys, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    partial: bool = False
    notes: list[str] = field(default_factory=list)

    def under(self, *keys: str) -> Layer:
        """Return the mapping found under ``keys`` as a layer of its own."""
        data: Any = self.data
        for key in keys:
            data = data.get(key, {})
        n = len(keys)
        origins = {path[n:]: line for path, line in self.origins.items() if path[:n] == keys}
        return replace(self, data=dict(data), origins=origins)

    def only(self, *names: str) -> Layer:
        """Return the layer with none but some of its top-level keys."""
        return self.without(*(name for name in self.data if name not in names))

    def without(self, *names: str) -> Layer:
        """Return the layer without some of its top-level keys."""
        data = {key: value for key, value in self.data.items() if key not in names}
        return replace(self, data=data, origins=kept(self.origins, data))

    def settled(self) -> Layer:
        """Return the layer without the keys that are null."""
        data = dropped(self.data, None)
        return replace(self, data=data, origins=kept(self.origins, data))

    def where(self, keys: Keys) -> str:
        """Return ``file:line`` of a key, or of the nearest key above it that is written down."""
        found = (
            self.origins[keys[:n]] for n in range(len(keys), -1, -1) if keys[:n] in self.origins
        )
        return next(found, COMMAND_LINE)


def merge(base: Layer, over: Layer) -> Layer:
    """Return ``base`` with ``over`` laid on top.

    Mappings merge, lists and values replace, null unsets. A mapping that names another plugin
    replaces; one without a name keeps the plugin that ``base`` names in short form.
    """
    data = _merge(base.data, over.data)
    problems = list(dict.fromkeys([*base.problems, *over.problems]))
    notes = list(dict.fromkeys([*base.notes, *over.notes]))
    origins = kept(base.origins | over.origins, data)
    return Layer(data, origins, problems, base.partial or over.partial, notes)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping):
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


def dropped(data: Mapping[str, Any], unwanted: Any) -> dict[str, Any]:
    """Return nested mappings without the keys whose value is the object ``unwanted``."""
    return {
        key: dropped(value, unwanted) if isinstance(value, Mapping) else value
        for key, value in data.items()
        if value is not unwanted
    }


def kept(origins: Mapping[Keys, str], data: Mapping[str, Any]) -> dict[Keys, str]:
    """Return the origins of the keys that ``data`` still has."""
    there = {(), *(keys for keys, _ in walk(data))}
    return {keys: where for keys, where in origins.items() if keys in there}


def walk(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield (path of keys, value) of everything within a mapping or a list, parents first."""
    if isinstance(value, Mapping):
        children = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list):
        children = [(str(index), child) for index, child in enumerate(value)]
    else:
        return
    for key, child in children:
        yield (*keys, key), child
        yield from walk(child, (*keys, key))


def value_at(data: Any, keys: Keys) -> Any:
    """Return what stands at a path of keys in nested mappings, or None."""
    for key in keys:
        if not isinstance(data, Mapping) or key not in data:
            return None
        data = data[key]
    return data


def read_overrides(arguments: Sequence[str]) -> Layer:
    """Return the layer of ``key.sub=value`` arguments; the last of two for one key counts.

    Raises:
        ConfigError: with every argument that is not of that form.
    """
    layer = Layer()
    for argument in arguments:
        name, sign, text = argument.partition("=")
        keys = tuple(name.split("."))
        if not sign or not all(keys):
            layer.problems.append(f"{COMMAND_LINE}: {argument!r} is not of the form key.sub=value")
            continue
        try:
            value = parse_value(text, f"{COMMAND_LINE} ({argument})")
        except ConfigError as error:
            layer.problems += error.problems
            continue
        _put(layer.data, keys, value)
    if layer.problems:
        raise ConfigError(layer.problems)
    layer.origins = {keys: COMMAND_LINE for keys, _ in walk(layer.data)}
    return layer


def _put(data: dict[str, Any], keys: Keys, value: Any) -> None:
    for key in keys[:-1]:
        child = data.get(key)
        if not isinstance(child, dict):
            # head=Name head.field=value gives the plugin a field, in either order
            child = data[key] = {} if child is None else {"name": child}
        data = child
    there = data.get(keys[-1])
    if isinstance(there, dict) and isinstance(value, str):
        there["name"] = value
    elif isinstance(there, dict) and isinstance(value, dict):
        there.update(value)
    else:
        data[keys[-1]] = value


def plugin_paths(value: Any, folder: Path) -> list[str] | None:
    """Return the files that ``plugins:`` lists as absolute paths, or None if it is no such list."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return [str((folder / name).resolve()) for name in names]


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return plain containers as YAML text that reads back as the same, keys in their order."""
    return yaml.dump(dict(data), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
