"""Tests of reading YAML: what is a number, what is refused, and the line of every key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmvt.config.yaml_file import MAX_BYTES, MAX_VALUES, UNKNOWN, parse_value, parse_yaml, read_yaml
from mmvt.errors import ConfigError

HERE = Path("a.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-5", 5e-5),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("-.inf", float("-inf")),
        ("0", 0),
        ("-3", -3),
        ("1_000", 1000),
        ("0x1F", 31),
        ("true", True),
        ("null", None),
        ("", None),
        ("007", "007"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("._", "._"),
        ("=", "="),
        ('$(touch x); rm -rf "*" | & > \'', '$(touch x); rm -rf "*" | & > \''),
    ],
)
def test_plain_words_are_numbers_or_text(text: str, value: Any):
    read = parse_yaml(f"key: {text}", HERE).data["key"]
    assert (type(read), read) == (type(value), value)
    assert parse_value(text, "here") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1, 5e-5, x]", [1, 5e-5, "x"]),
        ("{a: 1, b: [x]}", {"a": 1, "b": ["x"]}),
        ('"5"', "5"),
        ("'a: b'", "a: b"),
        # not YAML, or not the whole of it: text, as it is
        ("[1, 2", "[1, 2"),
        ("[0-9]*.mp4", "[0-9]*.mp4"),
        ("'; rm -rf", "'; rm -rf"),
        ("a: b # c", "a: b # c"),
        ("*alias", "*alias"),
        ("!!python/object/apply:os.system [x]", "!!python/object/apply:os.system [x]"),
        ("| block", "| block"),
        (" spaces ", " spaces "),
        ("a=b=c", "a=b=c"),
    ],
)
def test_a_value_of_the_command_line_is_yaml_or_the_text_as_it_is(text: str, value: Any):
    assert parse_value(text, "here") == value


def test_a_value_of_the_command_line_holds_no_tag():
    with pytest.raises(ConfigError, match=r"^here:1: the tag !!python/name:os.system is not"):
        parse_value("[!!python/name:os.system '']", "here")


def test_every_key_knows_its_line():
    read = parse_yaml("a:\n  b: 1\n  c:\n  - d: 2\n", HERE)
    assert read.data == {"a": {"b": 1, "c": [{"d": 2}]}}
    assert read.lines == {
        ("a",): "a.yaml:1",
        ("a", "b"): "a.yaml:2",
        ("a", "c"): "a.yaml:3",
        ("a", "c", "0", "d"): "a.yaml:4",
    }


def test_keys_are_text():
    assert parse_yaml("1: x\non: y\n", HERE).data == {"1": "x", "on": "y"}


@pytest.mark.parametrize("content", [b"", b"# only a comment\n", b"\xef\xbb\xbf\n", b"---\n"])
def test_an_empty_file_holds_no_keys(tmp_path: Path, content: bytes):
    path = tmp_path / "empty.yaml"
    path.write_bytes(content)
    assert read_yaml(path).data == {}


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path):
    path = tmp_path / "bom.yaml"
    path.write_bytes("\ufeffkey: é\r\n".encode())
    assert read_yaml(path).data == {"key": "é"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"key: \xff\n", "a.yaml: is not UTF-8 text .at byte 5."),
        ("key: é".encode("utf-16"), "a.yaml: is not UTF-8 text"),
        (b"key: \0", "a.yaml: is no YAML: "),
        (b"- a\n- b\n", "a.yaml: must hold keys and values, not list"),
        (b"word", "a.yaml: must hold keys and values, not str"),
        (b"a: 1\n b: 2\n", "a.yaml:2: is no YAML: mapping values are not allowed here"),
        (b"a: [1\n", "a.yaml:2: is no YAML: expected"),
        (b"a:\n\t- 1\n", "a.yaml:2: is no YAML: found character"),
        (b"a: 1\n---\nb: 2\n", "a.yaml:2: is no YAML: but found another document"),
        (b"a: *nowhere\n", "a.yaml:1: is no YAML: found undefined alias"),
        (b"[" * 5000, "a.yaml: is nested too deeply, or within itself"),
        (b"a: &x [*x]\n", "a.yaml: is nested too deeply, or within itself"),
        (b"#" * (MAX_BYTES + 1), "a.yaml: is larger than 1000000 bytes"),
    ],
)
def test_what_is_no_configuration_is_told_with_its_line(
    tmp_path: Path, content: bytes, message: str
):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "a.yaml")


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path):
    (tmp_path / "pretrain.yaml").touch()
    with pytest.raises(ConfigError, match=r"pretain.yaml: does not exist; did you mean pretrain"):
        read_yaml(tmp_path / "pretain.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read .Is a directory.$"):
        read_yaml(tmp_path)


def test_aliases_of_aliases_do_not_fill_the_memory():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
    )
    with pytest.raises(ConfigError, match=f"a.yaml: holds more than {MAX_VALUES} values"):
        parse_yaml(bomb, HERE)


def test_values_up_to_the_limit_are_read():
    # the mapping and the list are values too
    read = parse_yaml(f"a: [{'0,' * (MAX_VALUES - 2)}]", HERE)
    assert len(read.data["a"]) == MAX_VALUES - 2
    with pytest.raises(ConfigError, match="holds more than"):
        parse_yaml(f"a: [{'0,' * (MAX_VALUES - 1)}]", HERE)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2\n", "a.yaml:2: a is given twice"),
        ("a:\n  b: 1\n  b: 2\n", "a.yaml:3: a.b is given twice"),
        ("x: &x {y: 1}\na:\n  <<: *x\n", "a.yaml:3: << (a merge key) is not supported"),
        ("? [a]\n: 1\n", "a.yaml:1: a key must be a word"),
        ("a: !!python/object/apply:os.system [x]\n", "a.yaml:1: the tag !!python/object/apply:os"),
        ("a: !!python/name:os.system ''\n", "a.yaml:1: the tag !!python/name:os.system"),
        ("a: !mine {b: 1}\n", "a.yaml:1: the tag !mine is not allowed here"),
        ("a: !!set {b}\n", "a.yaml:1: the tag !!set"),
        ("a: !!int one\n", "a.yaml:1: the tag !!int"),
        ("a: !!bool maybe\n", "a.yaml:1: the tag !!bool"),
    ],
)
def test_a_problem_leaves_the_other_keys_readable(text: str, problem: str):
    read = parse_yaml(text + "z: 1\n", HERE)
    assert [line[: len(problem)] for line in read.problems] == [problem]
    assert read.data["z"] == 1


def test_a_value_that_is_refused_is_not_null_and_its_list_goes_with_it():
    read = parse_yaml("a: !!set {b}\nc: [1, !!int one]\n", HERE)
    assert read.data == {"a": UNKNOWN, "c": UNKNOWN}
    with pytest.raises(ConfigError, match=r"^a.yaml:1: the tag !mine is not allowed here"):
        parse_yaml("!mine {a: 1}", HERE)
