from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.evaluators.metrics.ngrams import CiderD, bleu, common_words, rouge_l

Caption = list[str]

CAPTIONS = st.lists(st.sampled_from("abc"), max_size=8)
CORPORA = st.lists(
    st.tuples(CAPTIONS, st.lists(CAPTIONS, min_size=1, max_size=3)), min_size=2, max_size=4
)


def grams(words: Caption, order: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + order]) for at in range(len(words) - order + 1)]


def plain_bleu(hypotheses: list[Caption], references: list[list[Caption]]) -> list[float]:
    """Count every n-gram one by one."""
    said = sum(len(words) for words in hypotheses)
    wanted = 0
    for words, own in zip(hypotheses, references, strict=True):
        by_distance = sorted((abs(len(ref) - len(words)), len(ref)) for ref in own)
        wanted += by_distance[0][1]
    precisions, scores = [], []
    for order in (1, 2, 3, 4):
        hits = total = 0
        for words, own in zip(hypotheses, references, strict=True):
            total += len(grams(words, order))
            for gram in set(grams(words, order)):
                limit = max(grams(ref, order).count(gram) for ref in own)
                hits += min(limit, grams(words, order).count(gram))
        precisions.append(hits / total if total else 0.0)
        short = math.exp(1 - wanted / said) if 0 < said < wanted else 1.0
        scores.append(short * math.prod(precisions) ** (1 / order))
    return scores


def plain_common(one: Caption, other: Caption) -> int:
    """Try the longest choices of words first."""
    for size in range(len(one), 0, -1):
        for chosen in itertools.combinations(one, size):
            rest = iter(other)
            if all(word in rest for word in chosen):
                return size
    return 0


def plain_cider(references: list[list[Caption]], words: Caption, own: list[Caption]) -> float:
    """Write the vectors of all n-grams out."""
    scores = []
    for order in (1, 2, 3, 4):
        seen = [{g for ref in refs for g in grams(ref, order)} for refs in references]
        every = sorted(set().union(*seen, grams(words, order)))
        idf = [math.log(len(seen) / max(1, sum(gram in s for s in seen))) for gram in every]

        def vector(caption: Caption) -> np.ndarray:
            counts = [grams(caption, order).count(gram) for gram in every]  # noqa: B023
            return np.array(counts, float) * idf  # noqa: B023

        mine = vector(words)
        for ref in own:
            theirs = vector(ref)
            norm = np.linalg.norm(mine) * np.linalg.norm(theirs)
            cosine = np.minimum(mine, theirs) @ theirs / norm if norm else 0.0
            scores.append(cosine * math.exp(-((len(words) - len(ref)) ** 2) / 72))
    return 10 * float(np.mean(scores))


@given(CORPORA)
def test_bleu_is_that_of_a_plain_count(corpus: list[tuple[Caption, list[Caption]]]):
    hypotheses, references = [h for h, _ in corpus], [r for _, r in corpus]
    found = bleu(hypotheses, references)
    assert found == pytest.approx(plain_bleu(hypotheses, references))
    assert bleu(hypotheses[::-1], [own[::-1] for own in references[::-1]]) == pytest.approx(found)


@given(CAPTIONS, CAPTIONS)
def test_the_longest_common_subsequence_is_that_of_trying_all(one: Caption, other: Caption):
    assert common_words(one, other) == plain_common(one, other) == common_words(other, one)


@given(CORPORA)
def test_cider_is_that_of_plain_vectors(corpus: list[tuple[Caption, list[Caption]]]):
    references = [own for _, own in corpus]
    cider = CiderD(references)
    for words, own in corpus:
        expected = plain_cider(references, words, own)
        assert cider(words, own) == pytest.approx(expected, abs=1e-12)
        assert cider(words, own[::-1]) == pytest.approx(expected, abs=1e-12)


def test_a_word_that_is_said_too_often_counts_as_often_as_in_one_reference():
    # the example of the paper of BLEU: 2 of 7
    references = [
        ["the", "cat", "is", "on", "the", "mat"],
        ["there", "is", "a", "cat", "on", "the", "mat"],
    ]
    assert bleu([["the"] * 7], [references])[0] == pytest.approx(2 / 7)


def test_short_corpora_are_punished_by_the_nearest_reference_the_shorter_of_two():
    words = list("abcd")
    near, far = list("abcdef"), list("abcdefgh")
    assert bleu([words], [[far, near]])[0] == pytest.approx(math.exp(1 - 6 / 4))
    # 3 and 5 words are as near: 3 counts, so that 4 are enough
    assert bleu([words], [[list("abcde")]])[0] == pytest.approx(math.exp(1 - 5 / 4))
    assert bleu([words], [[list("abcde"), list("bcd")]])[0] == 1


def test_bleu_is_of_the_corpus_and_no_mean_over_clips():
    hypotheses = [["a"], ["b", "c", "d"]]
    references = [[["x"]], [["b", "c", "d"]]]
    assert bleu(hypotheses, references)[:2] == pytest.approx([3 / 4, math.sqrt(3 / 4 * 2 / 2)])


def test_perfect_captions_have_one_and_nothing_in_common_has_zero():
    captions = [
        ["a", "man", "runs", "along", "the", "road"],
        ["two", "dogs", "sleep", "in", "a", "box"],
    ]
    own = [[caption] for caption in captions]
    assert bleu(captions, own) == [1, 1, 1, 1]
    assert [rouge_l(c, o) for c, o in zip(captions, own, strict=True)] == pytest.approx([1, 1])
    cider = CiderD(own)
    assert [cider(c, o) for c, o in zip(captions, own, strict=True)] == pytest.approx([10, 10])
    other = [["x", "y", "z"], ["u", "v"]]
    assert bleu(other, own) == [0, 0, 0, 0]
    assert [rouge_l(c, o) for c, o in zip(other, own, strict=True)] == [0, 0]
    assert [cider(c, o) for c, o in zip(other, own, strict=True)] == [0, 0]


def test_rouge_by_hand():
    # precision 3/4, recall 3/5; beta 1.2
    words, reference = list("axbc"), list("abycz")
    assert rouge_l(words, [reference]) == pytest.approx(2.44 * 0.75 * 0.6 / (0.6 + 1.44 * 0.75))
    # the best precision (1, of the second) and the best recall (1, of the third) count together
    assert rouge_l(["a", "b"], [["x"], ["a", "b", "c"], ["a"]]) == 1


def test_cider_by_hand():
    # idf of "a" is log(2/2) = 0 and of all others log 2
    cider = CiderD([[["a", "b"]], [["a", "c"]]])
    # words: (0, 1) and (0, 1) are one; bigrams: "a b" is one; nothing longer: 2 of 4
    assert cider(["a", "b"], [["a", "b"]]) == pytest.approx(10 * 2 / 4)
    # said twice, "b" counts once, against a vector twice as long; no bigram; one word more
    expected = 10 * (1 / 2 + 1 / math.sqrt(2)) / 4 * math.exp(-1 / 72)
    assert cider(["a", "b", "b"], [["a", "b"]]) == pytest.approx(expected)


def test_captions_without_words_have_zero():
    assert bleu([[], []], [[["a"]], [[]]]) == [0, 0, 0, 0]
    assert rouge_l([], [["a"]]) == rouge_l(["a"], [[]]) == rouge_l([], [[]]) == 0
    cider = CiderD([[["a"]], [[]]])
    assert cider([], [["a"]]) == cider(["a"], [[]]) == cider([], [[]]) == 0


def test_captions_of_twenty_thousand_words_are_compared():
    rng = random.Random(0)
    long = [rng.choice("abcdefgh") for _ in range(20_000)]
    assert common_words(long, long) == 20_000
    assert common_words(long, long[::2]) == 10_000
    assert bleu([long], [[long]])[3] == 1
    assert CiderD([[long], [["x"]]])(long, [long]) == pytest.approx(10)
