"""Reads one YAML file into plain containers and remembers the line of every key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmvt.errors import ConfigError

MAX_NODES = 20_000
_FLOAT = re.compile(
    r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.[0-9_]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)


class _Loader(yaml.SafeLoader):
    """The safe loader, with 5e-5 read as a number (YAML 1.2), not as a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass
class YamlFile:
    """The content of one YAML file.

    Attributes:
        path: where it was read from.
        data: plain containers.
        lines: ``file:line`` of every key, by path of keys.
    """

    path: Path
    data: dict[str, Any]
    lines: dict[tuple[str, ...], str] = field(default_factory=dict)


def read_yaml(path: Path) -> YamlFile:
    """Return the content of a YAML file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, is no YAML mapping, repeats a key, holds a tag of an
            object, or grows beyond reason through aliases.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> YamlFile:
    """Return the content of YAML text; ``path`` is named in errors and in ``lines``.

    Raises:
        ConfigError: as :func:`read_yaml`.
    """
    loader = _Loader(text)
    reader = _Reader(path, loader)
    try:
        root = loader.get_single_node()
        data = {} if root is None else reader.value(root, ())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_position(error)}: {_first_line(error)}") from error
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: holds a {type(data).__name__}, not keys and values")
    if reader.problems:
        raise ConfigError(reader.problems)
    return YamlFile(path, data, reader.lines)


class _Reader:
    """Turns nodes into plain containers, one visit a node, counting what aliases repeat."""

    def __init__(self, path: Path, loader: _Loader) -> None:
        self.path, self.loader = path, loader
        self.lines: dict[tuple[str, ...], str] = {}
        self.problems: list[str] = []
        self.count = 0

    def value(self, node: yaml.Node, keys: tuple[str, ...]) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            raise ConfigError(f"{self.path}: more than {MAX_NODES} values; aliases of aliases?")
        if isinstance(node, yaml.MappingNode):
            if node.tag != "tag:yaml.org,2002:map":
                return self.refuse(node)
            return self.mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            if node.tag != "tag:yaml.org,2002:seq":
                return self.refuse(node)
            return [self.value(child, (*keys, str(i))) for i, child in enumerate(node.value)]
        if node.tag.rpartition(":")[2] not in ("str", "int", "float", "bool", "null"):
            return self.refuse(node)
        return self.loader.construct_object(node)

    def mapping(self, node: yaml.MappingNode, keys: tuple[str, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            where = f"{self.path}:{key_node.start_mark.line + 1}"
            if key_node.tag == "tag:yaml.org,2002:merge" or key in result:
                what = "is given twice" if key in result else "(a merge key) is not supported"
                self.problems.append(f"{where}: {'.'.join((*keys, key))} {what}")
            self.lines[(*keys, key)] = where
            result[key] = self.value(value_node, (*keys, key))
        return result

    def refuse(self, node: yaml.Node) -> None:
        self.problems.append(
            f"{self.path}:{node.start_mark.line + 1}: tag {node.tag!r} is not allowed; "
            "only plain values, lists and mappings are"
        )


def _position(error: yaml.YAMLError) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f":{mark.line + 1}" if mark else ""


def _first_line(error: yaml.YAMLError) -> str:
    problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
    return problem or str(error).splitlines()[0]
