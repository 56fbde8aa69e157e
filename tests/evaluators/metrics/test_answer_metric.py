from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.answer import AnswerMetric
from tests.small_wordnet import write_wordnet


def predictions(**changes: object) -> Predictions:
    arrays: dict[str, object] = {
        "ids": ["a", "b", "c", "d"],
        "answers": ["red", "T-shirt", "two", "red"],
        "read_back": ["red", "t - shirt", "two", "red"],
        "groups": ["what", "what", "how", "what"],
        "scored_ids": ["c", "b", "a", "d"],
        "said": ["2", "t - shirt", "red", "Red"],
    }
    return {name: np.array(value) for name, value in (arrays | changes).items()}


def test_answers_are_right_to_the_letter_as_written_or_as_read_back() -> None:
    results = AnswerMetric()(predictions())
    assert (results["accuracy"], results["questions"]) == (0.5, 4)
    assert results["groups"] == {
        "how": {"accuracy": 0.0, "questions": 1},
        "what": {"accuracy": pytest.approx(2 / 3), "questions": 3},
    }
    assert results["protocol"]["name"] == "open answers"
    assert results["WUPS@0.0"] is results["WUPS@0.9"] is results["protocol"]["wups"] is None
    assert results["absent"] == {"WUPS": "metric.wordnet is not set"}
    said = ["two", "T-shirt", "red", "red"]
    assert AnswerMetric()(predictions(said=said))["accuracy"] == 1


def test_figures_are_also_told_as_they_are_published() -> None:
    assert AnswerMetric()(predictions())["official"] == {
        "ratios": {"what_ratio": [75.0, 3], "how_ratio": [25.0, 1]},
        "overall_acc": 50.0,
        "what_acc": 66.67,
        "how_acc": 0.0,
    }
    without_kinds = {name: own for name, own in predictions().items() if name != "groups"}
    assert AnswerMetric()(without_kinds)["official"] == {"ratios": {}, "overall_acc": 50.0}


def test_answers_are_alike_where_wordnet_is_there(tmp_path: Path) -> None:
    answers = ["dog", "Dogs", "table", "cat"]
    told = predictions(answers=answers, said=["table", "dog", "cat", "cat"])
    del told["read_back"]
    results = AnswerMetric(wordnet=write_wordnet(tmp_path))(told)
    assert (results["accuracy"], results["absent"]) == (0.5, {})
    # in the order of ids: cat and dog, dog and its plural, twice the same
    assert results["WUPS@0.0"] == pytest.approx((2 / 3 + 1 + 1 + 1) / 4)
    assert results["WUPS@0.9"] == pytest.approx((0.1 * 2 / 3 + 1 + 1 + 1) / 4)
    assert results["groups"]["how"]["WUPS@0.9"] == 1
    assert results["protocol"]["match"] == "exact, as written"
    assert len(results["protocol"]["wups"]["wordnet_sha256"]["data.noun"]) == 64
    few = {**told, "scored_ids": told["scored_ids"][:1], "said": told["said"][:1]}
    few_results = AnswerMetric(wordnet=tmp_path, allow_missing=True)(few)
    assert (few_results["WUPS@0.0"], few_results["WUPS@0.9"]) == (0.25, 0.25)


def test_a_dictionary_that_is_not_there_leaves_wups_out(tmp_path: Path) -> None:
    results = AnswerMetric(wordnet=tmp_path / "gone")(predictions())
    assert results["WUPS@0.9"] is None
    assert "gone/index.noun cannot be read" in results["absent"]["WUPS"]


def test_baselines_stand_beside_the_result() -> None:
    results = AnswerMetric()(
        predictions(
            question_only_said=["two", "", "", ""],
            answer_only_said=["red", "red", "red", "red"],
            known=[1, 0, 1, 1],
            guesses=["red", "red", "red", "red"],
        )
    )
    assert results["question_only"]["accuracy"] == 0.25
    assert results["question_only"]["groups"]["how"] == {"accuracy": 1.0, "questions": 1}
    assert results["answer_only"]["accuracy"] == results["majority"]["accuracy"] == 0.5
    assert results["vocabulary_ceiling"] == 0.75


def test_missing_answers_are_named_or_counted_as_wrong() -> None:
    few = predictions(scored_ids=["a"], said=["red"])
    with pytest.raises(DataError, match="3 questions without a prediction: 'b', 'c', 'd'"):
        AnswerMetric()(few)
    results = AnswerMetric(allow_missing=True)(few)
    assert (results["accuracy"], results["protocol"]["missing_questions"]) == (0.25, 3)
    none = predictions(scored_ids=[], said=[])
    assert AnswerMetric(allow_missing=True)(none)["accuracy"] == 0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scored_ids": ["a", "a", "b", "c"]}, "predicted more than once: 'a'"),
        ({"scored_ids": ["a", "b", "c", "x"]}, "the split does not have: 'x'"),
        ({"said": ["red"]}, "said has the shape"),
        ({"said": [1, 2, 3, 4]}, "said must hold one text each"),
        ({"answers": ["red"]}, "answers has the shape"),
        ({"known": [1, 1, 1, 2]}, "known must hold whole numbers from 0 to 1"),
        ({"known": [1, 1, 1, 1]}, "no array 'guesses'"),
    ],
)
def test_wrong_arrays_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        AnswerMetric()(predictions(**changes))
