from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.choice import MultipleChoiceMetric, credit_of_scores

ANSWERS = {"q1": 0, "q2": 2, "q3": 1, "q4": 2}


def scored(
    rows: Mapping[str, Sequence[float]], answers: Mapping[str, int] = ANSWERS, **more: Any
) -> Predictions:
    return {
        "ids": np.array(list(answers)),
        "answers": np.array(list(answers.values()), np.int64),
        "scored_ids": np.array(list(rows), np.str_),
        "scores": np.array(list(rows.values()), float),
        **more,
    }


ROWS = {"q1": [3, 1, 2], "q2": [1, 2, 0], "q3": [0, 5, 4], "q4": [1, 2, 3]}


def test_accuracy_by_hand():
    found = MultipleChoiceMetric()(scored(ROWS))
    assert found["accuracy"] == 3 / 4
    assert found["questions"] == 4
    assert found["chance"] == pytest.approx(1 / 3)
    assert found["protocol"]["questions"] == 4
    assert found["protocol"]["ties"] == "expectation"


def test_perfect_reversed_and_random_choices():
    rng = np.random.default_rng(0)
    answers = {f"q{n}": int(right) for n, right in enumerate(rng.integers(5, size=2000))}
    perfect = {name: np.eye(5)[right] for name, right in answers.items()}
    metric = MultipleChoiceMetric()
    assert metric(scored(perfect, answers))["accuracy"] == 1
    worst = {name: -row for name, row in perfect.items()}
    assert metric(scored(worst, answers))["accuracy"] == 0
    chance = {name: rng.normal(size=5) for name in answers}
    assert metric(scored(chance, answers))["accuracy"] == pytest.approx(0.2, abs=0.03)


def test_equal_scores_count_by_expectation_or_the_first_as_in_the_original():
    rows = {"q1": [1, 1, 0], "q2": [1, 1, 1], "q3": [2, 2, 2], "q4": [0, 0, 0]}
    assert MultipleChoiceMetric()(scored(rows))["accuracy"] == pytest.approx((1 / 2 + 1) / 4)
    assert MultipleChoiceMetric(ties="original")(scored(rows))["accuracy"] == 1 / 4
    credit = credit_of_scores(np.array(list(rows.values())), np.array([0, 2, 1, 2]))
    assert credit.tolist() == pytest.approx([1 / 2, 1 / 3, 1 / 3, 1 / 3])


def test_constant_scores_are_exactly_at_chance():
    found = MultipleChoiceMetric()(scored(dict.fromkeys(ANSWERS, [0.5] * 3)))
    assert found["accuracy"] == pytest.approx(found["chance"])


def test_the_order_of_questions_changes_nothing():
    backward = dict(reversed(ROWS.items()))
    expected = MultipleChoiceMetric()(scored(ROWS))
    assert MultipleChoiceMetric()(scored(backward)) == expected
    assert MultipleChoiceMetric()(scored(ROWS, dict(reversed(ANSWERS.items())))) == expected


def test_places_that_are_no_choice_change_nothing_but_are_no_chance():
    padded = {name: [*row, -np.inf, -np.inf] for name, row in ROWS.items()}
    found, expected = MultipleChoiceMetric()(scored(padded)), MultipleChoiceMetric()(scored(ROWS))
    assert found == expected
    few = scored({**ROWS, "q1": [3, 1, -np.inf]})
    assert MultipleChoiceMetric()(few)["chance"] == pytest.approx((1 / 2 + 1) / 4)


def test_choices_may_stand_in_place_of_scores():
    predictions = scored(ROWS, choices=np.array([0, 1, 1, 2]))
    del predictions["scores"]
    found = MultipleChoiceMetric()(predictions)
    assert found["accuracy"] == 3 / 4
    assert "chance" not in found


def test_groups_of_all_levels_have_their_own_accuracy():
    groups = np.array([["C", "CW"], ["C", "CH"], ["T", "TN"], ["C", "CW"]])
    found = MultipleChoiceMetric()(scored(ROWS, groups=groups))
    assert found["groups"] == {
        "C": {"accuracy": 2 / 3, "questions": 3},
        "T": {"accuracy": 1, "questions": 1},
        "CW": {"accuracy": 1, "questions": 2},
        "CH": {"accuracy": 0, "questions": 1},
        "TN": {"accuracy": 1, "questions": 1},
    }
    flat = MultipleChoiceMetric()(scored(ROWS, groups=groups[:, 0]))
    assert flat["groups"] == {name: found["groups"][name] for name in ("C", "T")}


def test_what_is_chosen_without_the_video_stands_beside_the_result():
    rows = np.array(list(ROWS.values()), float)
    groups = np.array(["C", "C", "T", "T"])
    found = MultipleChoiceMetric()(
        scored(ROWS, question_only_scores=-rows, answer_only_scores=0 * rows, groups=groups)
    )
    assert found["accuracy"] == 3 / 4
    assert found["question_only"] == {
        "accuracy": 1 / 4,
        "groups": {
            "C": {"accuracy": 1 / 2, "questions": 2},
            "T": {"accuracy": 0, "questions": 2},
        },
    }
    assert found["answer_only"]["accuracy"] == pytest.approx(1 / 3)
    with pytest.raises(DataError, match="answer_only_scores of 4 ids hold NaN"):
        MultipleChoiceMetric()(scored(ROWS, answer_only_scores=np.nan * rows))


def test_a_missing_question_is_an_error_or_wrong():
    some = {name: ROWS[name] for name in ("q4", "q1")}
    with pytest.raises(DataError, match="2 questions without a prediction: 'q2', 'q3'"):
        MultipleChoiceMetric()(scored(some))
    found = MultipleChoiceMetric(allow_missing=True)(scored(some))
    assert found["accuracy"] == 2 / 4
    assert found["protocol"]["missing_questions"] == 2


WRONG = {
    "predictions of questions that the split does not have: 'z'": scored({**ROWS, "z": [1, 2, 3]}),
    "the right answer of 1 questions is not among the choices: 'q4'": scored(
        {**ROWS, "q4": [1, 2, -np.inf]}
    ),
    "the right answer of 2 questions is not among the choices: 'q2', 'q4'": scored(
        {name: row[:2] for name, row in ROWS.items()}
    ),
    "scores of 1 ids hold NaN or inf: 'q2'": scored({**ROWS, "q2": [np.nan, 1, 2]}),
    r"scores have the shape \(4,\)": {**scored(ROWS), "scores": np.arange(4.0)},
    "answers must hold whole numbers from 0": {**scored(ROWS), "answers": -np.ones(4, int)},
    "answers has the shape": {**scored(ROWS), "answers": np.zeros(3, int)},
    "groups has the shape": scored(ROWS, groups=np.array(["C"])),
    "a split without a question": scored({}, {}),
    "no array 'choices'": {k: v for k, v in scored(ROWS).items() if k != "scores"},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named(message: str):
    with pytest.raises(DataError, match=message):
        MultipleChoiceMetric()(WRONG[message])
