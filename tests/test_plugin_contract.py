"""One contract, for every registered plugin of every kind."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest

from mmvt.config.fields import Field, convert, fields_of
from mmvt.config.plan import CONTEXT
from mmvt.losses.base import Loss
from mmvt.models.base import Head, Part, consumed_ports
from mmvt.plugins import KINDS, Plugins
from mmvt.processors.base import WIRE_KEYS

PLUGINS = Plugins()
ALL = [(kind, name) for kind, (_, builtin) in KINDS.items() for name in builtin]
PLAIN = (int, float, str, bool, Path, Any, type(None))


def classes(*kinds: str) -> list[type]:
    return [PLUGINS.get(kind, name) for kind in kinds for name in KINDS[kind][1]]


def is_convertible(annotation: Any) -> bool:
    """Return whether a YAML can hold a value of a type: plain, a plugin, or containers of these."""
    if annotation in PLAIN or PLUGINS.kind_of(annotation):
        return True
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return all(type(value) in PLAIN for value in arguments)
    if origin in (Union, types.UnionType):
        return all(is_convertible(member) for member in arguments)
    if inspect.isclass(origin) and issubclass(origin, (Sequence, Mapping)):
        return all(a is Ellipsis or (is_convertible(a) and a in PLAIN) for a in arguments)
    return False


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_plugin_fulfils_the_contract(kind: str, name: str):
    cls = PLUGINS.get(kind, name)
    assert cls.__name__ == name
    assert issubclass(cls, PLUGINS.registries[kind].base)
    assert len((inspect.getdoc(cls) or "").splitlines()[0]) > 10, "no first line that says what"
    # keyword-only, typed, no catch-all: fields_of raises
    for item in fields_of(cls):
        assert item.doc, f"{item.name} has no line in Args"
        assert is_convertible(item.annotation), f"{item.name}: {item.type_name} is for no YAML"
        check_default(item)


def check_default(item: Field) -> None:
    """A default is what its own type takes, so that writing it down changes nothing."""
    if item.default is inspect.Parameter.empty:
        return
    value = str(item.default) if isinstance(item.default, Path) else item.default
    assert convert(value, item.annotation) == item.default


@pytest.mark.parametrize("cls", classes("encoder", "trunk", "head"), ids=lambda cls: cls.__name__)
def test_a_part_declares_what_it_produces_and_consumes_named_ports(cls: type[Part]):
    assert cls.produces
    assert all(name.isidentifier() for name in cls.produces)
    assert not set(cls.produces) & set(WIRE_KEYS), "a batch already holds it"
    check_ports(cls)


@pytest.mark.parametrize("cls", classes("loss"), ids=lambda cls: cls.__name__)
def test_a_loss_consumes_named_ports(cls: type[Loss]):
    check_ports(cls)


def check_ports(cls: type) -> None:
    required, _ = consumed_ports(cls)
    assert required, "consumes nothing"
    parameters = list(inspect.signature(vars(cls)["forward"]).parameters.values())[1:]
    kinds = {parameter.kind for parameter in parameters}
    assert kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters)


@pytest.mark.parametrize("cls", classes("head"), ids=lambda cls: cls.__name__)
def test_the_defaults_of_a_head_name_plugins(cls: type[Head]):
    assert {"loss", "layout", "predictor", "metric"} <= set(cls.defaults)
    for slot, name in cls.defaults.items():
        PLUGINS.get(slot, name)
    required, _ = consumed_ports(PLUGINS.get("loss", cls.defaults["loss"]))
    labels = {key for aligner in classes("aligner") for key in aligner.produces}
    assert set(required) <= {*cls.produces, *WIRE_KEYS, *labels}


def test_a_name_is_used_once_over_all_kinds():
    names = [name for _, name in ALL]
    assert sorted(names) == sorted(set(names))


def test_what_the_run_gives_is_taken_under_its_name_alone():
    given = [i for cls in classes("meta_processor") for i in fields_of(cls) if i.name in CONTEXT]
    assert {item.name for item in given} == {"split"}
