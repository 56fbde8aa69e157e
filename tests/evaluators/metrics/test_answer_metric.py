from __future__ import annotations

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.answer import AnswerMetric


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
    assert results.keys() == {"accuracy", "groups", "questions", "protocol"}
    said = ["two", "T-shirt", "red", "red"]
    assert AnswerMetric()(predictions(said=said))["accuracy"] == 1


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
