from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.segmentation import (
    Part,
    SegmentationMetric,
    edit_score,
    match_parts,
    parts_of,
)

CLASSES = st.lists(st.integers(0, 2), min_size=1, max_size=12)


def predictions_of(
    truth: Mapping[str, Sequence[int]], said: Mapping[str, Sequence[int]]
) -> Predictions:
    return {
        "ids": np.array(list(truth)),
        "frames": np.array([len(own) for own in truth.values()], np.int64),
        "targets": np.array([label for own in truth.values() for label in own], np.int64),
        "scored_ids": np.array(list(said), np.str_),
        "classes": np.array([label for own in said.values() for label in own], np.int64),
    }


def score(truth: Sequence[int], said: Sequence[int], **options: int) -> dict[str, float]:
    return dict(SegmentationMetric(**options)(predictions_of({"a": truth}, {"a": said})))


def plain_parts(classes: Sequence[int]) -> list[tuple[int, set[int]]]:
    """Return (class, its steps) of each run."""
    parts: list[tuple[int, set[int]]] = []
    for step, label in enumerate(classes):
        if step and classes[step - 1] == label:
            parts[-1][1].add(step)
        else:
            parts.append((label, {step}))
    return parts


def plain_counts(truth: Sequence[int], said: Sequence[int], least: float) -> tuple[int, int, int]:
    """Count parts as sets of steps."""
    ours, theirs = plain_parts(said), plain_parts(truth)
    found: set[int] = set()
    for label, steps in ours:
        ious = [
            len(steps & other) / len(steps | other) if label == name else 0.0
            for name, other in theirs
        ]
        best = ious.index(max(ious))
        if ious[best] >= least and best not in found:
            found.add(best)
    return len(found), len(ours) - len(found), len(theirs) - len(found)


def plain_distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        changed = distance(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, changed)

    return distance(len(one), len(other))


@given(CLASSES, st.data())
def test_parts_are_matched_and_edited_as_by_plain_counts(truth: list[int], data: st.DataObject):
    said = data.draw(st.lists(st.integers(0, 2), min_size=len(truth), max_size=len(truth)))
    ours, theirs = parts_of(np.array(said)), parts_of(np.array(truth))
    for least in (0.1, 0.25, 0.5):
        assert match_parts(ours, theirs, least) == plain_counts(truth, said, least)
    labels = [tuple(part.label for part in parts) for parts in (ours, theirs)]
    longest = max(map(len, labels))
    assert edit_score(ours, theirs) == pytest.approx(1 - plain_distance(*labels) / longest)


def test_figures_by_hand():
    # parts: 0 0 0 0 | 1 1 1 1 | 2 2 against 0 0 | 1 | 0 | 1 1 1 1 | 2 2
    truth = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    said = [0, 0, 1, 0, 1, 1, 1, 1, 2, 2]
    found = score(truth, said)
    assert found["frame_accuracy"] == 9 / 10
    # IoU: 2/4, 0, 1/4 of the same, 1, 1; the second 0 finds none that is free
    for overlap in ("F1@10", "F1@25", "F1@50"):
        assert found[overlap] == pytest.approx(2 * 3 / (2 * 3 + 2 + 0))
    assert found["edit"] == pytest.approx(1 - 2 / 5)


def test_a_part_counts_from_its_overlap_on():
    # 2 of 8 steps: IoU 1/4; 4 of 8: 1/2
    truth = [1] * 8 + [0] * 2
    quarter, half = [0] * 6 + [1] * 2 + [0] * 2, [0] * 4 + [1] * 4 + [0] * 2
    assert score(truth, quarter, background=0)["F1@25"] == 1
    assert score(truth, quarter, background=0)["F1@50"] == 0
    assert score(truth, half, background=0)["F1@50"] == 1


def test_a_first_part_that_is_too_short_leaves_the_true_one_free():
    # the first of two parts overlaps 1/6, the second 4/6
    found = score([1] * 6, [1, 0, 1, 1, 1, 1], background=0)
    assert found["F1@10"] == pytest.approx(2 / (2 + 1))
    assert found["F1@50"] == pytest.approx(2 / (2 + 1))


def test_perfect_and_wholly_wrong_classes():
    truth = [0, 1, 1, 2, 2, 2]
    names = ("frame_accuracy", "edit", "F1@10", "F1@25", "F1@50")
    perfect, wrong = score(truth, truth), score(truth, [3, 4, 4, 5, 5, 5])
    assert [perfect[name] for name in names] == [1] * 5
    assert [wrong[name] for name in names] == [0] * 5
    assert perfect["chance"] == {"frame_accuracy": 1 / 2}


def test_reversed_classes_keep_what_is_the_same_backward():
    found = score([0, 0, 1, 1, 2, 2], [2, 2, 1, 1, 0, 0])
    assert found["frame_accuracy"] == pytest.approx(1 / 3)
    assert found["edit"] == pytest.approx(1 - 2 / 3)
    assert found["F1@50"] == pytest.approx(1 / 3)


def test_random_classes_are_near_chance():
    rng = np.random.default_rng(0)
    truth, said = rng.integers(4, size=(2, 400)).tolist()
    assert score(truth, said)["frame_accuracy"] == pytest.approx(1 / 4, abs=0.1)


def test_background_is_no_part_and_has_an_accuracy_apart():
    truth, said = [0, 0, 1, 1, 0, 2], [0, 1, 1, 1, 0, 0]
    found = score(truth, said, background=0)
    assert found["frame_accuracy"] == pytest.approx(4 / 6)
    assert found["frame_accuracy_without_background"] == pytest.approx(2 / 3)
    assert found["F1@50"] == pytest.approx(2 * 1 / (2 * 1 + 0 + 1))
    assert found["edit"] == pytest.approx(1 - 1 / 2)
    assert found["protocol"]["background_share"] == 1 / 2
    every = score(truth, said)
    assert every["F1@50"] != found["F1@50"]
    assert "frame_accuracy_without_background" not in every


def test_a_video_of_background_alone_is_perfect_where_nothing_is_said():
    found = score([0, 0], [0, 0], background=0)
    assert (found["edit"], found["F1@50"]) == (1, 1)
    assert found["frame_accuracy_without_background"] is None
    assert score([0, 0], [0, 1], background=0)["F1@50"] == 0


def test_accuracy_and_f1_are_over_all_steps_and_parts_and_edit_over_videos():
    truth = {"a": [0, 0, 0, 0], "b": [1, 2]}
    found = SegmentationMetric()(predictions_of(truth, {"a": [0, 0, 0, 0], "b": [3, 4]}))
    assert found["frame_accuracy"] == pytest.approx(4 / 6)
    assert found["F1@50"] == pytest.approx(2 / (2 + 2 + 2))
    assert found["edit"] == 1 / 2


def test_the_order_of_videos_changes_nothing():
    truth = {"a": [0, 0, 1], "b": [1, 2, 2, 2], "c": [0]}
    said = {"a": [0, 1, 1], "b": [1, 1, 2, 2], "c": [1]}
    expected = SegmentationMetric()(predictions_of(truth, said))
    backward = dict(reversed(truth.items()))
    assert SegmentationMetric()(predictions_of(backward, said)) == expected
    backward = dict(reversed(said.items()))
    assert SegmentationMetric()(predictions_of(truth, backward)) == expected


def test_a_missing_video_is_an_error_or_wrong_in_every_step():
    truth = {"a": [0, 0, 1], "b": [1, 2]}
    with pytest.raises(DataError, match="1 videos without a prediction: 'b'"):
        SegmentationMetric()(predictions_of(truth, {"a": truth["a"]}))
    metric = SegmentationMetric(allow_missing=True)
    found = metric(predictions_of(truth, {"a": truth["a"]}))
    assert found["frame_accuracy"] == 3 / 5
    assert found["edit"] == 1 / 2
    assert found["F1@50"] == pytest.approx(2 * 2 / (2 * 2 + 0 + 2))
    assert found["protocol"]["missing_videos"] == 1
    nothing = metric(predictions_of(truth, {}))
    assert (nothing["frame_accuracy"], nothing["edit"], nothing["F1@10"]) == (0, 0, 0)


def test_runs_are_parts():
    assert parts_of(np.array([1, 1, 0, 1])) == [Part(1, 0, 2), Part(0, 2, 3), Part(1, 3, 4)]
    assert parts_of(np.array([1, 1, 0, 1]), background=1) == [Part(0, 2, 3)]
    assert parts_of(np.array([], int)) == []


GOOD = predictions_of({"a": [0, 1], "b": [2]}, {"a": [0, 1], "b": [2]})
WRONG = {
    "no video has a step to score": predictions_of({"a": []}, {"a": []}),
    "a split without a video": predictions_of({}, {}),
    r"targets has the shape \(2,\), but 2 videos need 3 numbers": {
        **GOOD,
        "targets": np.array([0, 1]),
    },
    r"classes has the shape \(4,\), but 2 videos need 3 numbers": {
        **GOOD,
        "classes": np.array([0, 1, 2, 2]),
    },
    "classes must hold whole numbers from 0": {**GOOD, "classes": np.array([0, 1, -1])},
    "targets must hold whole numbers from 0": {**GOOD, "targets": np.array([0, 1, np.nan])},
    "predictions of videos that the split does not have: 'z'": predictions_of(
        {"a": [0]}, {"a": [0], "z": [0]}
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named(message: str):
    with pytest.raises(DataError, match=message):
        SegmentationMetric()(WRONG[message])
