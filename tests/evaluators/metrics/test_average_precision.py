from __future__ import annotations

import numpy as np
import pytest

from mmvt.evaluators.metrics.average_precision import (
    clip_precision,
    detection_precision,
    window_ious,
)


def plain_clip_precision(relevant: np.ndarray, scores: np.ndarray) -> float:
    """Look at each score that brings a relevant clip, and at all lower ones."""
    if relevant.all() or not relevant.any():
        return float(relevant.any())
    precisions = {s: relevant[scores >= s].mean() for s in set(scores.tolist())}
    brings = {s for s in precisions if relevant[scores == s].any()}
    return float(np.mean([max(p for t, p in precisions.items() if t <= s) for s in brings]))


def plain_detection_precision(ious: np.ndarray, least: float) -> float:
    taken: set[int] = set()
    hits = []
    for row in ious:
        free = [place for place in range(len(row)) if place not in taken]
        best = max(free, key=lambda place: (row[place], -place), default=None)
        hits.append(best is not None and row[best] >= least)
        if best is not None and hits[-1]:
            taken.add(best)
    precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
    found = [max(precision[n:]) for n, hit in enumerate(hits) if hit]
    return sum(found) / ious.shape[1]


def test_windows_overlap_by_their_seconds():
    one = np.array([[0.0, 10], [5, 15], [3, 3]])
    other = np.array([[0.0, 10], [10, 20], [3, 3]])
    assert window_ious(one, other).tolist() == [
        [1, 0, 0],
        [pytest.approx(1 / 3), pytest.approx(1 / 3), 0],
        [0, 0, 0],
    ]
    assert window_ious(one[:0], other).shape == (0, 3)


def test_a_query_by_hand():
    # best first: a hit, a miss, and a hit of the other true window
    ious = np.array([[0.8, 0.0], [0.75, 0.2], [0.1, 0.6]])
    found = detection_precision(ious, (0.5, 0.7, 0.9))
    # at 0.5: precision 1 and 2/3; at 0.7 only the first; at 0.9 none
    assert found.tolist() == pytest.approx([(1 + 2 / 3) / 2, 1 / 2, 0])


def test_perfect_windows_have_one_and_none_zero():
    assert detection_precision(np.eye(3), (0.5, 1.0)).tolist() == [1, 1]
    assert detection_precision(np.zeros((4, 2)), (0.5,)).tolist() == [0]
    assert detection_precision(np.zeros((0, 2)), (0.5, 0.7)).tolist() == [0, 0]


def test_a_true_window_is_found_once():
    assert detection_precision(np.array([[0.9], [0.9]]), (0.5,)).tolist() == [1]
    assert detection_precision(np.array([[0.2], [0.9]]), (0.5,)).tolist() == [1 / 2]


@pytest.mark.parametrize("seed", range(20))
def test_windows_are_as_by_plain_counts(seed: int):
    rng = np.random.default_rng(seed)
    ious = rng.choice([0.0, 0.3, 0.5, 0.7, 0.9], size=rng.integers(1, 6, size=2))
    least = (0.3, 0.5, 0.7, 0.95)
    expected = [plain_detection_precision(ious, value) for value in least]
    assert detection_precision(ious, least).tolist() == pytest.approx(expected)


def test_clips_by_hand():
    relevant = np.array([True, False, True, False])
    # in order: relevant, not, relevant, not: precision 1, 1/2, 2/3
    assert clip_precision(relevant, np.array([4.0, 3, 2, 1])) == pytest.approx((1 + 2 / 3) / 2)
    # worst order: 1/3 and 2/4, of which the first is raised to 1/2
    assert clip_precision(relevant, np.array([2.0, 4, 1, 3])) == pytest.approx(1 / 2)


def test_clips_that_are_all_alike():
    scores = np.array([3.0, 2, 1])
    assert clip_precision(np.ones(3, bool), scores) == 1
    assert clip_precision(np.zeros(3, bool), scores) == 0
    # equal scores come together
    assert clip_precision(np.array([True, False, False]), np.zeros(3)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(20))
def test_clips_are_as_by_plain_counts_in_any_order(seed: int):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 9))
    relevant, scores = rng.random(count) < 0.4, rng.integers(4, size=count).astype(float)
    found = clip_precision(relevant, scores)
    assert found == pytest.approx(plain_clip_precision(relevant, scores))
    shuffled = rng.permutation(count)
    assert clip_precision(relevant[shuffled], scores[shuffled]) == pytest.approx(found)
