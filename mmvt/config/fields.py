"""The fields of a plugin: its constructor's parameters, their types, defaults and docs."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mmvt.errors import PluginError

REQUIRED = inspect.Parameter.empty
_ENTRY = re.compile(r"^(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")


@dataclass(frozen=True)
class Field:
    """One constructor parameter.

    Attributes:
        name: its name, which is the key in a YAML.
        annotation: its type.
        default: its default, or ``REQUIRED``.
        doc: its line in the ``Args:`` of the class docstring.
    """

    name: str
    annotation: Any
    default: Any
    doc: str

    @property
    def type_name(self) -> str:
        """The type as one writes it."""
        return describe_type(self.annotation)


def fields_of(cls: type) -> list[Field]:
    """Return the fields of a class, in the order of its constructor.

    Raises:
        PluginError: a parameter is not keyword-only, is a catch-all, or has no type that is known.
    """
    owner = next(ancestor for ancestor in cls.__mro__ if "__init__" in vars(ancestor))
    if owner is object or owner.__module__.startswith("torch."):
        return []  # no constructor of its own
    name, constructor = f"{cls.__module__}.{cls.__name__}", vars(owner)["__init__"]
    parameters = list(inspect.signature(constructor).parameters.values())[1:]
    for parameter in parameters:
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.annotation is REQUIRED:
            raise PluginError(
                f"{name}: constructor parameter {parameter.name!r} must be keyword-only and have a "
                "type"
            )
    try:
        hints = get_type_hints(constructor)
    except NameError as error:
        raise PluginError(
            f"{name}: a type of its constructor cannot be found ({error}); import it at the top of "
            "the file"
        ) from error
    docs = _documented_args(cls)
    return [Field(p.name, hints[p.name], p.default, docs.get(p.name, "")) for p in parameters]


def _documented_args(cls: type) -> dict[str, str]:
    docs: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__):
        text = inspect.getdoc(ancestor) if "__doc__" in vars(ancestor) else None
        docs |= _parse_args(text or "")
    return docs


def _parse_args(docstring: str) -> dict[str, str]:
    """Return the entries of the ``Args:`` section of a Google docstring."""
    docs: dict[str, str] = {}
    current, inside = "", False
    for line in docstring.splitlines():
        if not line.startswith(" ") and line.strip():
            inside = line.strip() == "Args:"
        elif inside and (entry := _ENTRY.match(line[4:])) and not line[4:].startswith(" "):
            current, docs[entry[1]] = entry[1], entry[2]
        elif inside and current and line.strip():
            docs[current] += " " + line.strip()
    return docs


def describe_type(annotation: Any) -> str:
    """Return a type as one writes it, without module names."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " | ".join(describe_type(a) for a in arguments)
    if origin is Literal:
        return " | ".join(repr(a) for a in arguments)
    if origin is not None:
        inner = ", ".join("..." if a is Ellipsis else describe_type(a) for a in arguments)
        return f"{origin.__name__}[{inner}]"
    if annotation is type(None):
        return "None"
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def convert(value: Any, annotation: Any) -> Any:
    """Return a YAML value as the type a field asks for.

    Whole numbers become floats and strings become paths; nothing else is converted.

    Raises:
        TypeError: saying what was expected and what was given.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(value, annotation)
    if origin is Literal:
        if value in arguments and type(value) in {type(a) for a in arguments}:
            return value
        raise _mismatch(value, annotation)
    if origin is not None and issubclass(origin, (Sequence, Mapping)):
        return _convert_container(value, annotation, origin, arguments)
    if annotation is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if annotation is Path and isinstance(value, str):
        return Path(value)
    if type(value) is annotation:
        return value
    raise _mismatch(value, annotation)


def _convert_union(value: Any, annotation: Any) -> Any:
    arguments = get_args(annotation)
    exact = [a for a in arguments if type(value) is a]
    for member in exact or arguments:
        try:
            return convert(value, member)
        except TypeError:
            continue
    raise _mismatch(value, annotation)


def _convert_container(
    value: Any, annotation: Any, origin: type, arguments: tuple[Any, ...]
) -> Any:
    if issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _mismatch(value, annotation)
        return {convert(k, arguments[0]): convert(v, arguments[1]) for k, v in value.items()}
    if not isinstance(value, (list, tuple)):
        raise _mismatch(value, annotation)
    if origin is tuple and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise _mismatch(value, annotation)
        return tuple(convert(v, a) for v, a in zip(value, arguments, strict=True))
    items = [convert(item, arguments[0]) for item in value]
    return tuple(items) if origin is tuple else items


def _mismatch(value: Any, annotation: Any) -> TypeError:
    text = "null" if value is None else f"{type(value).__name__} {value!r}"
    text = text if len(text) <= 60 else f"{text[:56]} ..."
    return TypeError(f"must be {describe_type(annotation)}, not {text}")
