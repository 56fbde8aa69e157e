from __future__ import annotations

import pytest

from mmvt.processors.questions import AskedQuestion, TrainingAnswers, first_word


def asked(text: str, answer: str) -> AskedQuestion:
    return AskedQuestion("v", "id", text, ["other", answer], 1, ())


def test_the_guess_is_the_most_frequent_answer_to_such_questions() -> None:
    training = TrainingAnswers(
        [
            asked("what is it", "dog"),
            asked("What now?", "cat"),
            asked("what, then", "dog"),
            asked("who runs", "man"),
            asked("who else", "boy"),
            asked("who", "boy"),
            asked("how", "boy"),
        ]
    )
    assert training.guess("what is here") == "dog"
    assert training.guess("WHO?") == "boy"
    assert training.guess("where is it") == "boy"  # three of all seven
    assert "cat" in training
    assert "other" not in training  # a wrong one


def test_of_equally_frequent_answers_the_first_in_the_alphabet_is_taken() -> None:
    assert TrainingAnswers([asked("is it", "yes"), asked("is he", "no")]).guess("is") == "no"


@pytest.mark.parametrize(
    ("question", "word"), [("What's up", "what's"), ("who, me", "who"), ("?", ""), ("", "")]
)
def test_the_first_word_is_in_lower_case_without_marks(question: str, word: str) -> None:
    assert first_word(question) == word
