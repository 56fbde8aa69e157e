from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.dense import THRESHOLDS, DenseCaptionMetric
from mmvt.evaluators.metrics.ngrams import CiderD
from mmvt.evaluators.metrics.words import words_of

Timed = dict[str, list[tuple[float, float, str]]]

PEOPLE: Timed = {
    "a": [(0, 10, "a man rides a horse"), (10, 20, "the horse drinks some water")],
    "b": [(0, 8, "two dogs play in the snow")],
}


def predictions_of(said: Timed, people: Timed = PEOPLE) -> Predictions:
    def arrays(own: Timed, noun: str, plural: str) -> Predictions:
        rows = [(name, *row) for name, captions in own.items() for row in captions]
        return {
            f"{noun}_ids": np.array([row[0] for row in rows], np.str_),
            f"{noun}_times": np.array([row[1:3] for row in rows], float).reshape(-1, 2),
            plural: np.array([row[3] for row in rows], np.str_),
        }

    return {
        "ids": np.array(list(people)),
        "scored_ids": np.array(list(said), np.str_),
        **arrays(people, "reference", "references"),
        **arrays(said, "hypothesis", "hypotheses"),
    }


def score(said: Timed, people: Timed = PEOPLE, **options: Any) -> dict[str, Any]:
    return dict(DenseCaptionMetric(**options)(predictions_of(said, people)))


def test_what_people_said_themselves_is_perfect():
    found = score(PEOPLE)
    assert (found["precision"], found["recall"]) == (1.0, 1.0)
    assert found["SODA_c"] == pytest.approx(1.0, rel=1e-12)
    assert score(PEOPLE, cider_weights="split")["CIDEr-D"] == pytest.approx(10.0, rel=1e-12)
    assert found["protocol"]["videos"] == 2
    assert found["protocol"]["soda_c"]["likeness"] == "CIDEr-D / 10, weighed by references"


def test_times_count_by_their_overlap():
    # overlaps of a: 0.6 with the first, none with the second; of b: 0.25
    said: Timed = {"a": [(0, 6, "x"), (30, 40, "x")], "b": [(0, 2, "x"), (0, 8, "x")]}
    found = score(said)["by_iou"]
    assert [found[t]["precision"] for t in ("0.3", "0.5", "0.7", "0.9")] == [0.5, 0.5, 0.25, 0.25]
    assert [found[t]["recall"] for t in ("0.3", "0.5", "0.7", "0.9")] == [0.75, 0.75, 0.5, 0.5]


def test_an_overlap_of_exactly_the_least_counts():
    people: Timed = {"a": [(0, 10, "a dog")], "b": [(0, 10, "a cat")]}
    found = score({"a": [(0, 5, "a dog")], "b": [(5, 10, "a cat")]}, people)["by_iou"]
    assert (found["0.5"]["recall"], found["0.7"]["recall"]) == (1.0, 0.0)


def test_a_caption_counts_with_each_reference_that_it_overlaps_and_as_nothing_with_none():
    people: Timed = {
        "a": [(0, 10, "a man rides a horse"), (0, 9, "someone rides a brown horse")],
        "b": [(0, 8, "two dogs play in the snow")],
    }
    said: Timed = {"a": [(0, 10, "a man rides a horse"), (50, 60, "a man rides a horse")], "b": []}
    texts = [words_of(text) for own in people.values() for *_, text in own]
    cider = CiderD([[words] for words in texts])
    hits = [cider(texts[0], [texts[0]]), cider(texts[0], [texts[1]])]
    found = score(said, people, cider_weights="split")["by_iou"]["0.9"]
    # three pairs in a, one of them with nothing, and a video without captions
    assert found["CIDEr-D"] == pytest.approx(sum(hits) / 3 / 2)
    # as the public evaluator weighs: by the three pairs alone
    cider = CiderD([[texts[0]], [texts[1]], [["nothing"]]])
    hits = [cider(texts[0], [texts[0]]), cider(texts[0], [texts[1]])]
    assert score(said, people)["by_iou"]["0.9"]["CIDEr-D"] == pytest.approx(sum(hits) / 3 / 2)


def test_soda_is_overlap_times_likeness_in_order():
    first, second = PEOPLE["a"]
    # the right captions of a at each other's times: only one of two crossing matches may count
    said: Timed = {"a": [(0, 5, first[2]), (10, 20, second[2])], "b": PEOPLE["b"]}
    found = score(said)
    assert found["SODA_c"] == pytest.approx(((0.5 + 1) * 2 / 4 + 1) / 2)
    swapped: Timed = {"a": [(0, 10, second[2]), (10, 20, first[2])], "b": PEOPLE["b"]}
    # what is said does not overlap where it is true
    assert score(swapped)["SODA_c_recall"] < 0.6


def test_the_order_of_rows_changes_nothing():
    said: Timed = {
        "a": [(0, 10, "a man rides"), (0, 10, "a horse"), (3, 20, "the horse drinks")],
        "b": [(0, 8, "two dogs")],
    }
    backwards = {name: own[::-1] for name, own in reversed(said.items())}
    people = {name: own[::-1] for name, own in reversed(PEOPLE.items())}
    assert score(said) == score(backwards, people)


def test_a_missing_video_is_an_error_or_a_counted_miss():
    said = {"a": PEOPLE["a"]}
    with pytest.raises(DataError, match="1 videos without a prediction: 'b'"):
        score(said)
    found = score(said, allow_missing=True)
    assert found["protocol"]["missing_videos"] == 1
    assert (found["recall"], found["SODA_c"]) == (0.5, pytest.approx(0.5))
    # one without captions is looked at, and worth as much
    empty = score({**said, "b": []})
    assert empty["recall"] == 0.5
    assert (empty["protocol"]["missing_videos"], empty["videos_without_captions"]) == (0, 1)


def test_hostile_texts_and_times_of_no_length_have_figures():
    texts = ["", " ", "\u202e; 0 1", "\x00", "💥" * 50, "a " * 3000, "0 25 <t3>", "नमस्ते"]
    said: Timed = {"a": [(0, 10, text) for text in texts], "b": [(3, 3, "two dogs")]}
    found = score(said)
    figures = [found[name] for name in ("CIDEr-D", "precision", "recall", "SODA_c")]
    assert all(math.isfinite(figure) for figure in figures)
    assert found["hypotheses_without_words"] >= 2
    assert found["by_iou"]["0.3"]["precision"] == 0.5


def test_nothing_at_all_scores_nothing():
    found = score({"a": [], "b": []})
    assert [found[name] for name in ("CIDEr-D", "precision", "recall", "SODA_c")] == [0.0] * 4


def test_one_reference_alone_has_no_likeness():
    people: Timed = {"a": [(0, 1, "a dog")]}
    found = score(people, people)
    assert found["SODA_c"] is None
    assert "one reference" in found["absent"]["SODA_c"]


def test_what_could_not_be_read_is_told():
    said = {**predictions_of(PEOPLE), "problems": np.array(["no times", "empty", "no times"])}
    assert DenseCaptionMetric()(said)["problems"] == {"empty": 1, "no times": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hypothesis_times": np.array([[0, np.nan]] * 3)}, "of 2 ids hold NaN or inf: 'a', 'b'"),
        ({"hypothesis_times": np.array([[2.0, 1.0]] * 3)}, "of 2 ids go backwards"),
        ({"reference_times": np.array([[-1.0, 1.0]] * 3)}, "of 2 ids go backwards or are negative"),
        ({"reference_times": np.zeros((3, 3))}, r"has the shape \(3, 3\)"),
        ({"hypothesis_ids": np.array(["a", "a", "c"])}, "not in scored_ids: 'c'"),
        ({"reference_ids": np.array(["a", "a", "c"])}, "not in the split: 'c'"),
        ({"reference_ids": np.array(["a", "a", "a"])}, "1 videos have no reference: 'b'"),
        ({"hypotheses": np.array(["x"])}, "must have 3 rows"),
        ({"references": np.zeros(3)}, "references must hold one text each"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: Predictions, message: str):
    with pytest.raises(DataError, match=message):
        DenseCaptionMetric()({**predictions_of(PEOPLE), **change})


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return what writes a program in the place of Java, and gives the file for it to run."""

    def write(script: str) -> Path:
        program = tmp_path / "bin" / "java"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        (tmp_path / "meteor-1.5.jar").write_bytes(b"no program")
        return tmp_path / "meteor-1.5.jar"

    return write


def test_meteor_is_the_likeness_where_it_is_there(java: Callable[[str], Path]):
    # half for every pair
    jar = java('while read -r line; do echo 0.5 >&2; done < "$5"; echo 0.5')
    found = score({"a": PEOPLE["a"], "b": [*PEOPLE["b"], (50, 60, "x")]}, meteor_jar=jar)
    assert found["METEOR"] == pytest.approx((0.5 + 0.25) / 2)
    assert found["by_iou"].keys() == {f"{least:g}" for least in THRESHOLDS}
    assert found["SODA_c"] == pytest.approx((0.5 + 2 * 0.5 / 3) / 2)
    assert found["protocol"]["soda_c"]["likeness"] == "METEOR"
    assert found["absent"] == {}
