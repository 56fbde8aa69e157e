"""BLEU, ROUGE-L and CIDEr-D: figures that compare the words of captions.

A caption is a list of words; each hypothesis has one reference or more. One without words counts
as such, and nothing is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

ORDER = 4  # longest n-gram
BETA = 1.2
SIGMA = 6.0

Words = Sequence[str]
NGrams = Counter[tuple[str, ...]]
Weights = dict[tuple[str, ...], float]


def ngrams(words: Words, order: int) -> NGrams:
    """Return how often each sequence of ``order`` words occurs."""
    return Counter(tuple(words[at : at + order]) for at in range(len(words) - order + 1))


def bleu(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Return BLEU-1 to BLEU-4 of a corpus.

    A hypothesis is as long as the nearest of its references should be, the shorter of two that are
    equally near. Nothing is smoothed: a corpus without a common n-gram has 0.

    Source: Papineni et al., BLEU (ACL 2002) §2.

    Args:
        hypotheses: one a clip.
        references: those of each clip, at least one.
    """
    pairs = list(zip(hypotheses, references, strict=True))
    length = sum(map(len, hypotheses))
    wanted = sum(min(map(len, own), key=lambda n: (abs(n - len(words)), n)) for words, own in pairs)
    if length == 0:
        return [0.0] * ORDER
    brevity = min(0.0, 1 - wanted / length)
    logs, scores = 0.0, []
    for order in range(1, ORDER + 1):
        guesses = sum(max(0, len(words) - order + 1) for words in hypotheses)
        hits = sum(_hits(words, own, order) for words, own in pairs)
        logs += math.log(hits / guesses) if hits else -math.inf
        scores.append(math.exp(brevity + logs / order))
    return scores


def _hits(words: Words, references: Sequence[Words], order: int) -> int:
    """Return how many n-grams occur in a reference, each as often as in one of them."""
    most: NGrams = Counter()
    for reference in references:
        most |= ngrams(reference, order)
    return (ngrams(words, order) & most).total()


def rouge_l(words: Words, references: Sequence[Words]) -> float:
    """Return ROUGE-L: an F-score of the longest common subsequence, recall counting more.

    Precision and recall are the best of any reference each, as in the code of COCO captions.

    Source: Lin, ROUGE (2004) §3.
    """
    common = [(common_words(words, reference), len(reference)) for reference in references]
    precision = max(shared for shared, _ in common) / max(1, len(words))
    recall = max(shared / max(1, length) for shared, length in common)
    if precision == 0:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_words(one: Words, other: Words) -> int:
    """Return the length of the longest common subsequence.

    A row of the usual table is held in the bits of one number, so that texts of many thousands of
    words take no time. Source: Hyyrö, Bit-parallel LCS-length computation revisited (2004).
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        match = row & places.get(word, 0)
        row = (row + match | row - match) & every
    return len(one) - row.bit_count()


class CiderD:
    """CIDEr-D: how near the words of a caption are to those that people use of its clip alone.

    N-grams weigh the more the fewer clips have them in a reference; those of one clip say nothing,
    so that there have to be two.

    Source: CIDEr (arXiv 1411.5726) §4 and §6, ten times as large, as in the code of COCO captions.

    Args:
        references: those of each clip, at least one.
    """

    def __init__(self, references: Sequence[Sequence[Words]]) -> None:
        self.clips = len(references)
        self.frequency: NGrams = Counter()
        for own in references:
            seen = {gram for words in own for n in range(1, ORDER + 1) for gram in ngrams(words, n)}
            self.frequency.update(seen)

    def __call__(self, words: Words, references: Sequence[Words]) -> float:
        """Return the figure of a caption, 10 at most."""
        mine = [self._weights(words, order) for order in range(1, ORDER + 1)]
        total = 0.0
        for reference in references:
            theirs = [self._weights(reference, order) for order in range(1, ORDER + 1)]
            near = math.exp(-((len(words) - len(reference)) ** 2) / (2 * SIGMA**2))
            total += near * math.fsum(map(_clipped_cosine, mine, theirs)) / ORDER
        return 10 * total / len(references)

    def _weights(self, words: Words, order: int) -> Weights:
        return {
            gram: count * math.log(self.clips / max(1, self.frequency[gram]))
            for gram, count in ngrams(words, order).items()
        }


def _clipped_cosine(mine: Mapping[tuple[str, ...], float], theirs: Weights) -> float:
    """Return the cosine of two vectors, in which mine counts no more than theirs."""
    length = math.sqrt(_square(mine) * _square(theirs))
    if length == 0:
        return 0.0
    shared = mine.keys() & theirs.keys()
    return math.fsum(min(mine[gram], theirs[gram]) * theirs[gram] for gram in shared) / length


def _square(weights: Mapping[tuple[str, ...], float]) -> float:
    return math.fsum(weight * weight for weight in weights.values())
