"""Questions of annotation files, and what can be said of them without a video."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question about a video, with its answer or with several to choose from.

    Attributes:
        video_id: id of the video.
        text_id: id of the question.
        text: the question.
        answers: to choose from; the right one alone where the question is open.
        answer: place of the right one, from 0.
        groups: kinds that it is of, the widest first.
        span: (start, end) in seconds of the part that it is about; the whole video unless given.
        context: what is known beside the question, such as what is said in that part.
    """

    video_id: str
    text_id: str
    text: str
    answers: list[str]
    answer: int
    groups: tuple[str, ...]
    span: tuple[float, float] = (0.0, math.inf)
    context: str = ""

    @property
    def right(self) -> str:
        """The right answer."""
        return self.answers[self.answer]


class TrainingAnswers:
    """What is answered in training, by the first word of the question.

    Args:
        questions: all of training.
    """

    def __init__(self, questions: Iterable[AskedQuestion]) -> None:
        by_word: dict[str, Counter[str]] = defaultdict(Counter)
        for question in questions:
            by_word[first_word(question.text)][question.right] += 1
        self._all = sum(by_word.values(), Counter[str]())
        self._guesses = {word: _most_frequent(own) for word, own in by_word.items()}

    def __contains__(self, answer: str) -> bool:
        return answer in self._all

    def guess(self, question: str) -> str:
        """Return the most frequent answer to questions with the same first word.

        Of all answers where no question begins so; the first in the alphabet of equally many.
        """
        word = first_word(question)
        return self._guesses[word] if word in self._guesses else _most_frequent(self._all)


def first_word(question: str) -> str:
    """Return the first word of a question in lower case, without what stands behind it."""
    return question.split()[0].lower().strip(",.?!:;") if question.strip() else ""


def _most_frequent(answers: Counter[str]) -> str:
    return min(answers, key=lambda answer: (-answers[answer], answer))
