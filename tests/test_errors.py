"""Tests of errors and of the words in them."""

from __future__ import annotations

import pytest

import mmvt.errors
from mmvt.errors import (
    ConfigError,
    MissingPackageError,
    MMVTError,
    did_you_mean,
    nearest,
    position,
    require_package,
)


def test_the_module_opens_with_the_whole_tree():
    tree = [error.__name__ for error in MMVTError.__subclasses__()]
    shown = [line.split()[1] for line in str(mmvt.errors.__doc__).splitlines() if "──" in line]
    assert shown == tree


def test_a_config_error_holds_every_problem():
    error = ConfigError(["a.yaml:1: x", "a.yaml:2: y"])
    assert error.problems == ["a.yaml:1: x", "a.yaml:2: y"]
    assert str(error) == "a.yaml:1: x\na.yaml:2: y"
    assert ConfigError("one").problems == ["one"]


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("PairAlginer", "PairAligner"),
        ("pairaligner", "PairAligner"),
        ("max_vidoe_len", "max_video_len"),
        ("sampled_max_len", None),  # shares its end with max_len, and is another word
        ("", None),
    ],
)
def test_a_slip_is_told_from_another_word(word: str, near: str | None):
    assert nearest(word, ["PairAligner", "max_video_len", "max_len"]) == near


def test_the_nearest_is_offered_as_a_question():
    assert did_you_mean("headd", ["head", "loss"]) == "; did you mean head?"
    assert did_you_mean("headd", ["head"], quote="'") == "; did you mean 'head'?"
    assert did_you_mean("headd", []) == ""


def test_an_absent_package_names_the_command_that_installs_it():
    require_package("json", "train")
    with pytest.raises(MissingPackageError, match=r"run: python -m mmvt_cli.setup train$"):
        require_package("no_such_package", "train")


def test_problems_are_ordered_by_file_and_line():
    problems = ["b.yaml:1: x", "a.yaml:10: y: z", "a.yaml:9: 1:2: y", "a.yaml: is missing", "word"]
    assert [position(problem) for problem in problems] == [
        ("b.yaml", 1),
        ("a.yaml", 10),
        ("a.yaml", 9),
        ("a.yaml", 0),
        ("word", 0),
    ]
