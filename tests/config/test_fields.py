"""Tests of constructors as schemas: fields, their docs, and the types of YAML values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import nn

from mmvt.config.fields import REQUIRED, convert, describe_type, fields_of
from mmvt.errors import PluginError


class Base:
    """A base.

    Args:
        size: how large, in steps.
        old: only the base has it.
    """

    def __init__(self, *, size: int, old: str = "x") -> None:
        self.size = size


class Child(Base):
    """A child.

    It has a second paragraph: not a field.

    Args:
        size: how large, in steps.
        names (list): what is inside,
            over two lines: with a colon.
        undocumented_here: see the base

    Raises:
        ValueError: never.
    """

    def __init__(self, *, size: int, names: list[str] | None = None) -> None:
        super().__init__(size=size)


class Module(nn.Module):
    def forward(self) -> None:
        """Do nothing."""


def test_fields_are_the_parameters_of_the_constructor():
    fields = fields_of(Child)
    assert [(f.name, f.type_name, f.default, f.doc) for f in fields] == [
        ("size", "int", REQUIRED, "how large, in steps."),
        ("names", "list[str] | None", None, "what is inside, over two lines: with a colon."),
    ]


def test_an_inherited_constructor_brings_its_fields_and_docs():
    class Heir(Base):
        """An heir."""

    assert [(f.name, f.doc) for f in fields_of(Heir)] == [
        ("size", "how large, in steps."),
        ("old", "only the base has it."),
    ]


def test_a_class_without_a_constructor_has_no_fields():
    class Plain:
        pass

    assert fields_of(Plain) == []
    assert fields_of(Module) == []


class Positional:
    def __init__(self, size: int) -> None: ...


class CatchAll:
    def __init__(self, **kwargs: int) -> None: ...


class Untyped:
    def __init__(self, *, size) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001


class Unknown:
    def __init__(self, *, size: NoSuchType) -> None: ...  # type: ignore[name-defined]


@pytest.mark.parametrize("cls", [Positional, CatchAll, Untyped])
def test_every_parameter_must_be_keyword_only_and_typed(cls: type):
    with pytest.raises(PluginError, match=f"{cls.__name__}: constructor parameter '.*' must be"):
        fields_of(cls)


def test_a_type_that_is_not_there_at_run_time_is_an_error():
    with pytest.raises(PluginError, match="Unknown: a type of its constructor cannot be found"):
        fields_of(Unknown)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (Path, "Path"),
        (Any, "Any"),
        (int | None, "int | None"),
        (Literal["a", 1], "'a' | 1"),
        (list[int], "list[int]"),
        (tuple[float, ...], "tuple[float, ...]"),
        (Mapping[str, Any], "Mapping[str, Any]"),
        (Literal["a"] | None, "'a' | None"),
    ],
)
def test_types_are_described_as_they_are_written(annotation: object, text: str):
    assert describe_type(annotation) == text


@pytest.mark.parametrize(
    ("value", "annotation", "result"),
    [
        (1, int, 1),
        (1, float, 1.0),
        (True, bool, True),
        ("a", str, "a"),
        ("a/b", Path, Path("a/b")),
        ("a", Path | None, Path("a")),
        (None, int | None, None),
        (1, int | float, 1),
        (1.5, int | float, 1.5),
        ("a", Literal["a", "b"], "a"),
        ("a", Literal["a", "b"] | None, "a"),
        ([1, 2], list[int], [1, 2]),
        ([1, 2], list[float], [1.0, 2.0]),
        (["a"], list[Path], [Path("a")]),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([], tuple[int, ...], ()),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([1], Sequence[int], [1]),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
        ({"a": [1]}, Mapping[str, Any], {"a": [1]}),
        ([1], list[int] | int, [1]),
        ({1: 2}, Any, {1: 2}),
    ],
)
def test_values_become_what_the_field_asks_for(value: Any, annotation: Any, result: Any):
    converted = convert(value, annotation)
    assert (type(converted), converted) == (type(result), result)


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("1", int, "must be int, not str '1'"),
        (1.0, int, "must be int, not float 1.0"),
        (True, int, "must be int, not bool True"),
        (True, float, "must be float, not bool True"),
        (1, bool, "must be bool, not int 1"),
        (1, str, "must be str, not int 1"),
        (1, Path, "must be Path, not int 1"),
        (None, int, "must be int, not null"),
        ("c", Literal["a", "b"], "must be 'a' | 'b', not str 'c'"),
        (True, Literal[1], "must be 1, not bool True"),
        ("a", int | None, "must be int | None, not str 'a'"),
        ("ab", list[str], "must be list[str], not str 'ab'"),
        ([1, "a"], list[int], "must be int, not str 'a'"),
        ([1], tuple[int, int], "must be tuple[int, int], not list [1]"),
        ([1], dict[str, int], "must be dict[str, int], not list [1]"),
        ({"a": "b"}, dict[str, int], "must be int, not str 'b'"),
        ("x" * 90, int, f"must be int, not str '{'x' * 51} ..."),
    ],
)
def test_nothing_else_is_converted(value: Any, annotation: Any, message: str):
    with pytest.raises(TypeError) as caught:
        convert(value, annotation)
    assert str(caught.value) == message
