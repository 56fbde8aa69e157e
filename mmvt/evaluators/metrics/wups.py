"""WUPS: how much alike two answers are, word by word."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mmvt.evaluators.metrics.wordnet import WordNet

UNLIKE = 0.1  # what the likeness of words counts that are not alike enough


def wups(said: Iterable[str], right: Iterable[str], threshold: float, wordnet: WordNet) -> float:
    """Return WUPS of an answer, from 0 to 1.

    Each answer is a set of words. Equal words are alike by 1, others by their Wu-Palmer similarity
    as nouns, of which a tenth is left below the threshold. The score is the smaller one of two
    products: of what each word of one answer has in the likest of the other, and the other way.

    Source: Malinowski and Fritz, A Multi-World Approach to Question Answering (NIPS 2014), §4.

    Args:
        said: words that are written.
        right: words of the right answer.
        threshold: 0.9 for WUPS@0.9; 0 = nothing is left out of a likeness.
        wordnet: tells how much alike words are.
    """

    def alike(one: str, other: str) -> float:
        if one == other:
            return 1.0
        likeness = wordnet.likeness(one, other)
        return likeness if likeness >= threshold else UNLIKE * likeness

    def contained(some: Sequence[str], others: Sequence[str]) -> float:
        return math.prod(max((alike(one, other) for other in others), default=0) for one in some)

    answers = list(dict.fromkeys(said)), list(dict.fromkeys(right))
    if not any(answers):
        return 1.0
    if not all(answers):
        return 0.0
    return min(contained(*answers), contained(*reversed(answers)))
