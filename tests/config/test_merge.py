"""Tests of laying one configuration over another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmvt.config.merge import (
    Layer,
    dropped,
    merge,
    plugin_paths,
    read_overrides,
    to_yaml,
    value_at,
    walk,
)
from mmvt.config.yaml_file import UNKNOWN, parse_yaml
from mmvt.errors import ConfigError


def merged(*layers: dict[str, Any]) -> dict[str, Any]:
    result = Layer()
    for data in layers:
        result = merge(result, Layer(data))
    return result.settled().data


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": 2}, {"a": 2}),
        ({"a": [1]}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": None}}, {"a": {"y": 2}}),
        ({"a": {"x": 1}}, {"a": None}, {}),
        ({"a": [None, 1]}, {}, {"a": [None, 1]}),
    ],
)
def test_mappings_merge_and_all_else_replaces(
    base: dict[str, Any], over: dict[str, Any], result: dict[str, Any]
):
    assert merged(base, over) == result


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        # another name replaces
        ({"name": "A", "x": 1}, {"name": "B", "y": 2}, {"name": "B", "y": 2}),
        ("A", {"name": "B", "y": 2}, {"name": "B", "y": 2}),
        ({"name": "A", "x": 1}, "B", "B"),
        ({"x": 1}, {"name": "B"}, {"name": "B"}),
        # the same name, or none, merges
        ({"name": "A", "x": 1}, {"name": "A", "y": 2}, {"name": "A", "x": 1, "y": 2}),
        ({"name": "A", "x": 1}, {"x": 2}, {"name": "A", "x": 2}),
        ("A", {"x": 2}, {"name": "A", "x": 2}),
    ],
)
def test_a_mapping_that_names_another_plugin_replaces(base: Any, over: Any, result: Any):
    assert merged({"head": base}, {"head": over}) == {"head": result}


def test_null_reaches_through_the_layers_between():
    included, project = merge(Layer({"b": 1}), Layer({"a": {"x": None}})), Layer({"c": 1})
    template = Layer({"a": {"x": 1, "y": 2}})
    assert merge(template, merge(included, project)).settled().data == {
        "a": {"y": 2},
        "b": 1,
        "c": 1,
    }


def test_merging_changes_neither_layer():
    base, over = {"a": {"x": 1}}, {"a": {"x": None, "y": [1]}}
    merge(Layer(base), Layer(over))
    assert (base, over) == ({"a": {"x": 1}}, {"a": {"x": None, "y": [1]}})


def test_origins_follow_the_value_and_go_with_it():
    base = Layer(
        {"head": {"name": "A", "x": 1}, "b": 1},
        {("head",): "t:1", ("head", "name"): "t:2", ("head", "x"): "t:3", ("b",): "t:4"},
    )
    over = Layer({"head": {"name": "B"}}, {("head",): "p:1", ("head", "name"): "p:2"})
    layer = merge(base, over)
    assert layer.origins == {("head",): "p:1", ("head", "name"): "p:2", ("b",): "t:4"}
    assert layer.where(("head", "x")) == "p:1"
    assert merge(base, Layer({"b": None})).settled().where(("b",)) == "command line"


def test_a_part_of_a_layer_keeps_its_origins():
    layer = Layer({"a": {"b": {"c": 1}}, "d": 2}, {("a", "b", "c"): "x:1", ("d",): "x:2"}, ["p"])
    under = layer.under("a", "b")
    assert (under.data, under.origins) == ({"c": 1}, {("c",): "x:1"})
    assert layer.without("a").origins == {("d",): "x:2"}
    assert layer.only("d").data == {"d": 2}
    assert under.problems == layer.only("d").problems == ["p"]


def test_what_was_left_out_stays_known_through_all_layers():
    layer = merge(Layer({"a": {}}), merge(Layer(partial=True), Layer({"b": 1})))
    assert layer.settled().under("a").partial
    assert layer.without("b").partial
    assert dropped({"a": UNKNOWN, "b": {"c": UNKNOWN, "d": None}}, UNKNOWN) == {"b": {"d": None}}


def test_problems_of_both_layers_are_kept_once():
    assert merge(Layer(problems=["a", "b"]), Layer(problems=["b", "c"])).problems == ["a", "b", "c"]


def test_overrides_are_values_by_path():
    layer = read_overrides(["a.b=1", "a.c=[1, x]", "d=5e-5", "e=null", "f=a=b: c", "g.h={i: 1}"])
    assert layer.data == {
        "a": {"b": 1, "c": [1, "x"]},
        "d": 5e-5,
        "e": None,
        "f": "a=b: c",
        "g": {"h": {"i": 1}},
    }
    assert layer.where(("g", "h", "i")) == "command line"


@pytest.mark.parametrize(
    ("arguments", "head"),
    [
        (["head=B", "head.x=1"], {"name": "B", "x": 1}),
        (["head.x=1", "head=B"], {"name": "B", "x": 1}),
        (["head.x=1", "head.name=B"], {"name": "B", "x": 1}),
        (["head.x=1", "head={y: 2}"], {"x": 1, "y": 2}),
        (["head=null", "head.x=1"], {"x": 1}),
        (["head=A", "head=B"], "B"),
    ],
)
def test_a_plugin_and_its_field_may_be_given_in_any_order(arguments: list[str], head: Any):
    assert read_overrides(arguments).data["head"] == head


def test_an_override_replaces_the_plugin_below_with_its_fields():
    base = Layer({"head": {"name": "A", "x": 1}})
    assert merge(base, read_overrides(["head.name=B"])).data == {"head": {"name": "B"}}
    assert merge(base, read_overrides(["head.x=null"])).settled().data == {"head": {"name": "A"}}


def test_every_malformed_override_is_told():
    with pytest.raises(ConfigError) as caught:
        read_overrides(["word", "=1", "a..b=1", "a=1", "b=[!!set {c}]"])
    assert caught.value.problems[:3] == [
        f"command line: {word!r} is not of the form key.sub=value"
        for word in ("word", "=1", "a..b=1")
    ]
    assert caught.value.problems[3].startswith("command line (b=[!!set {c}]):1: the tag !!set")


def test_values_are_walked_with_their_paths():
    assert list(walk({"a": {"b": [1]}})) == [
        (("a",), {"b": [1]}),
        (("a", "b"), [1]),
        (("a", "b", "0"), 1),
    ]
    assert value_at({"a": {"b": 1}}, ("a", "b")) == 1
    assert value_at({"a": 1}, ("a", "b")) is None


def test_plugin_files_are_found_from_the_folder_of_the_yaml(tmp_path: Path):
    folder = tmp_path / "sub"
    assert plugin_paths("a.py", folder) == [str(folder / "a.py")]
    assert plugin_paths(["../b.py", "/c.py"], folder) == [str(tmp_path / "b.py"), "/c.py"]
    assert plugin_paths({"a": 1}, folder) is None
    assert plugin_paths([1], folder) is None


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
words = st.text(max_size=8).filter(lambda word: word != "<<")
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4)
)


@settings(deadline=None)
@given(st.dictionaries(words, values))
@example({"b": ['$(touch x); rm -rf "*" | & > \'', "5e-5", "1:30", "007", "null"], "a": "=\n"})
def test_yaml_that_is_written_reads_back_as_the_same(data: dict[str, Any]):
    read = parse_yaml(to_yaml(data), Path("a.yaml"))
    assert (read.data, read.problems) == (data, [])
    assert list(read.data) == list(data)
