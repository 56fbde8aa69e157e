"""Reads one YAML file into plain containers and remembers the line of every key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmvt.errors import ConfigError, nearest

MAX_BYTES = 1_000_000
MAX_VALUES = 20_000
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$")
_FLOAT = re.compile(
    r"^[-+]?(?:(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+"
    r"|[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"
)


class Unknown:
    """Stands for a value that could not be read, which is among the problems already."""


UNKNOWN = Unknown()


class _Loader(yaml.SafeLoader):
    """The safe loader with the numbers of YAML 1.2: 5e-5 is one; 1:30, 007 and dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, word) for tag, word in resolvers if tag in (f"{_TAG}bool", f"{_TAG}null")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+.0123456789"))


class Dumper(yaml.SafeDumper):
    """The safe dumper, which also quotes text that the loader above takes for something else."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Return the node of a text; only double quotes keep a line break that is not ASCII."""
        quote = '"' if set(data) & set("\x85\u2028\u2029") else None
        return self.represent_scalar(f"{_TAG}str", data, style=quote)


Dumper.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+.0123456789"))
Dumper.add_representer(str, Dumper.represent_str)


@dataclass
class YamlFile:
    """The content of one YAML file.

    Attributes:
        path: where it was read from.
        data: plain containers.
        lines: ``file:line`` of every key, by path of keys.
        problems: keys given twice, and tags that are not allowed, whose value is ``UNKNOWN``.
    """

    path: Path
    data: dict[str, Any]
    lines: dict[tuple[str, ...], str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_yaml(path: Path) -> YamlFile:
    """Return the content of a YAML file whose top level is a mapping.

    Raises:
        ConfigError: the file is missing, is no YAML mapping, or is beyond reason large, also
            through aliases of aliases.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        hint = did_you_mean_file(path.name, [path.parent])
        raise ConfigError(f"{path}: does not exist{hint}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: cannot be read ({reason})") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (at byte {error.start})") from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> YamlFile:
    """Return the content of YAML text; ``path`` is named in errors and in ``lines``.

    Raises:
        ConfigError: as :func:`read_yaml`.
    """
    reader = _Reader(str(path))
    try:
        data = reader.read(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_line_of(error)}: is no YAML: {_reason_of(error)}") from error
    if data is None:
        data = {}
    if data is UNKNOWN:
        raise ConfigError(reader.problems)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold keys and values, not {type(data).__name__}")
    return YamlFile(path, data, reader.lines, reader.problems)


def parse_value(text: str, where: str) -> Any:
    """Return the value of a command-line argument.

    Null, booleans, numbers, quoted text, [lists] and {mappings} are read as in a YAML file;
    anything else is text, kept as it is.

    Raises:
        ConfigError: a list or mapping repeats a key or holds a tag.
    """
    if text[:1] in tuple("[{'\""):
        reader = _Reader(where)
        try:
            value = reader.read(text)
        except yaml.YAMLError:
            return text
        if reader.problems:
            raise ConfigError(reader.problems)
        return value
    loader = _Loader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))
    return text if tag == f"{_TAG}str" else loader.construct_object(yaml.ScalarNode(tag, text))


class _Reader:
    """Turns nodes into plain containers, counting what aliases repeat."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[tuple[str, ...], str] = {}
        self.problems: list[str] = []
        self.count = 0

    def read(self, text: str) -> Any:
        """Return the containers of YAML text, None if it is empty."""
        try:
            self.loader = _Loader(text)
            root = self.loader.get_single_node()
            return None if root is None else self.value(root, ())
        except RecursionError as error:
            raise ConfigError(f"{self.name}: is nested too deeply, or within itself") from error

    def value(self, node: yaml.Node, keys: tuple[str, ...]) -> Any:
        """Return the value of a node at a path of keys."""
        self.count += 1
        if self.count > MAX_VALUES:
            raise ConfigError(f"{self.name}: holds more than {MAX_VALUES} values, with its aliases")
        if node.tag == f"{_TAG}map" and isinstance(node, yaml.MappingNode):
            return self.mapping(node, keys)
        if node.tag == f"{_TAG}seq" and isinstance(node, yaml.SequenceNode):
            items = [self.value(child, (*keys, str(i))) for i, child in enumerate(node.value)]
            return UNKNOWN if UNKNOWN in items else items
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        return self.refuse(node)

    def mapping(self, node: yaml.MappingNode, keys: tuple[str, ...]) -> dict[str, Any]:
        """Return the keys and values of a node, and note their lines."""
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            where = f"{self.name}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{where}: a key must be a word, not a list or a mapping")
                continue
            key = str(key_node.value)
            if key in result:
                self.problems.append(f"{where}: {'.'.join((*keys, key))} is given twice")
            elif key == "<<":
                self.problems.append(f"{where}: << (a merge key) is not supported; use includes")
            else:
                self.lines[(*keys, key)] = where
                result[key] = self.value(value_node, (*keys, key))
        return result

    def scalar(self, node: yaml.ScalarNode) -> Any:
        """Return the text, number, boolean or null of a node."""
        if node.tag not in {_TAG + name for name in ("str", "int", "float", "bool", "null")}:
            return self.refuse(node)
        try:
            return self.loader.construct_object(node)
        except (ValueError, KeyError):  # such as !!int "one"
            return self.refuse(node)

    def refuse(self, node: yaml.Node) -> Unknown:
        """Note that the tag of a node is not allowed."""
        tag = node.tag.replace(_TAG, "!!")
        self.problems.append(
            f"{self.name}:{node.start_mark.line + 1}: the tag {tag} is not allowed here; write "
            "plain values, lists and mappings"
        )
        return UNKNOWN


def did_you_mean_file(name: str, folders: Iterable[Path]) -> str:
    """Return ``"; did you mean X?"`` for the YAML of ``folders`` nearest to ``name``, or ""."""
    stems = [path.stem for folder in folders for path in folder.glob("*.yaml")]
    near = nearest(Path(name).stem, stems)
    return f"; did you mean {near}.yaml?" if near else ""


def _line_of(error: yaml.YAMLError) -> str:
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    return f":{mark.line + 1}" if mark else ""


def _reason_of(error: yaml.YAMLError) -> str:
    reason = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
    return reason or str(error).splitlines()[0]
