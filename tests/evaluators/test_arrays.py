from __future__ import annotations

import hashlib

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.arrays import (
    Asked,
    named,
    plural,
    read,
    read_ids,
    read_numbers,
    read_whole,
    sha256_of,
    split_rows,
)


def test_named_shows_ten_ids_and_counts_the_others():
    ids = [str(number) for number in range(12)]
    assert named(ids[:1]) == "'0'"
    assert named(ids[:10]).endswith("'8', '9'")
    assert named(ids).endswith("'9' and 2 more")


@pytest.mark.parametrize(
    ("noun", "many"), [("video", "videos"), ("query", "queries"), ("city", "cities")]
)
def test_plural(noun: str, many: str):
    assert plural(noun) == many


def test_the_hash_of_ids_depends_on_no_order():
    assert sha256_of(["b", "a"]) == hashlib.sha256(b"a\nb\n").hexdigest() == sha256_of(["a", "b"])
    assert sha256_of(["a\nb"]) == sha256_of(["a", "b"])  # ids hold no line feed
    assert sha256_of(["\ud800"]) != sha256_of(["?"])


def test_ids_are_compared_with_those_of_the_split():
    asked = Asked.of({"ids": np.array(["a", "b"]), "scored_ids": np.array(["b", "a"])}, "video")
    assert (asked.ids, asked.places) == (["a", "b"], [1, 0])
    assert (asked.scored, asked.missing) == (["b", "a"], [])
    assert asked.protocol("a task") == {
        "name": "a task",
        "videos": 2,
        "ids_sha256": sha256_of("ab"),
        "missing_videos": 0,
    }


@pytest.mark.parametrize("scored", [np.array(["b"]), np.array([]), np.array([], np.str_)])
def test_missing_ids_are_counted_where_allowed(scored: np.ndarray):
    predictions = {"ids": np.array(["a", "b", "c"]), "scored_ids": scored}
    asked = Asked.of(predictions, "query", allow_missing=True)
    assert asked.missing == [name for name in "abc" if name not in scored.tolist()]
    assert asked.protocol("a task")["missing_queries"] == len(asked.missing)
    with pytest.raises(DataError, match=r"queries without a prediction: 'a'"):
        Asked.of(predictions, "query")


def test_all_that_is_wrong_with_ids_is_told_at_once():
    predictions = {"ids": np.array(["a", "b"]), "scored_ids": np.array(["a", "c", "a"])}
    with pytest.raises(DataError) as told:
        Asked.of(predictions, "video")
    assert str(told.value).splitlines() == [
        "1 videos predicted more than once: 'a'",
        "1 predictions of videos that the split does not have: 'c'",
        "1 videos without a prediction: 'b'",
    ]


def test_a_split_has_ids_and_each_of_them_once():
    with pytest.raises(DataError, match="of a split without a video"):
        Asked.of({"ids": np.array([]), "scored_ids": np.array([])}, "video")
    with pytest.raises(DataError, match="ids holds ids more than once: 'a'"):
        Asked.of({"ids": np.array(["a", "a"]), "scored_ids": np.array(["a"])}, "video")


def test_an_absent_array_and_another_number_of_rows_are_errors():
    predictions = {"b": np.zeros(2), "a": np.array(1.0)}
    assert read(predictions, "b", 2) is predictions["b"]
    with pytest.raises(DataError, match="no array 'c', only a, b"):
        read(predictions, "c")
    with pytest.raises(DataError, match=r"b has the shape \(2,\), but must have 3 rows"):
        read(predictions, "b", 3)
    with pytest.raises(DataError, match=r"a has the shape \(\)"):
        read(predictions, "a", 1)


@pytest.mark.parametrize("array", [np.array("a"), np.array([["a"]]), np.array([1, 2])])
def test_ids_are_texts_in_a_row(array: np.ndarray):
    with pytest.raises(DataError, match="ids must hold a text for each id"):
        read_ids({"ids": array}, "ids")


@pytest.mark.parametrize("array", [np.array([0, 2]), np.array([0, 2], np.uint8), np.array([])])
def test_whole_numbers_from_zero_are_read(array: np.ndarray):
    assert read_whole({"n": array}, "n", end=3).tolist() == array.tolist()


@pytest.mark.parametrize(
    "array", [np.array([0, 3]), np.array([-1]), np.array([1.0]), np.array("a")]
)
def test_other_numbers_are_no_whole_ones(array: np.ndarray):
    with pytest.raises(DataError, match="n must hold whole numbers from 0 to 2"):
        read_whole({"n": array}, "n", end=3)


def test_whole_numbers_may_have_no_end():
    assert read_whole({"n": np.array([1 << 40])}, "n").tolist() == [1 << 40]
    with pytest.raises(DataError, match="n must hold whole numbers from 0$"):
        read_whole({"n": np.array([-1])}, "n")


def test_minus_infinity_is_a_score_but_no_time():
    rows = {"s": np.array([[0.0, -np.inf], [1, 2]])}
    assert read_numbers(rows, "s", ["a", "b"]) is rows["s"]
    with pytest.raises(DataError, match="s of 1 ids hold NaN or inf: 'a'"):
        read_numbers(rows, "s", ["a", "b"], finite=True)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_told_with_its_id_once(wrong: float):
    rows = {"s": np.array([[0.0, 1], [wrong, 2], [wrong, wrong]])}
    with pytest.raises(DataError, match="s of 1 ids hold NaN or inf: 'b'$"):
        read_numbers(rows, "s", ["a", "b", "b"])


def test_texts_and_truths_are_no_numbers():
    for array in (np.array(["1"]), np.array([True])):
        with pytest.raises(DataError, match="s must hold numbers"):
            read_numbers({"s": array}, "s", ["a"])


def test_rows_of_several_owners_are_split_by_length():
    parts = split_rows({"r": np.array([1, 2, 3])}, "r", [1, 0, 2], "video")
    assert [part.tolist() for part in parts] == [[1], [], [2, 3]]
    assert split_rows({"r": np.array([])}, "r", [], "video") == []
    for lengths in ([1, 1], [2, 2]):
        with pytest.raises(DataError, match=r"r has the shape \(3,\), but 2 videos need"):
            split_rows({"r": np.array([1, 2, 3])}, "r", lengths, "video")
