from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.highlight import HighlightMetric, official_names

Window = tuple[float, float]
SECONDS = 100.0


def windows_of(
    truth: Sequence[Sequence[Window]],
    ours: Sequence[Sequence[Window]],
    scores: Sequence[float] | None = None,
) -> Predictions:
    """Return windows of queries q0, q1 …, the best one first."""
    ids = np.array([f"q{number}" for number in range(len(truth))])
    predictions = {
        "ids": ids,
        "durations": np.full(len(ids), SECONDS),
        "window_query": np.repeat(np.arange(len(truth)), [len(own) for own in truth]),
        "windows": np.array([window for own in truth for window in own], float),
        "scored_ids": ids[: len(ours)],
        "scored_window_query": np.repeat(np.arange(len(ours)), [len(own) for own in ours]),
        "scored_windows": np.array([window for own in ours for window in own], float).reshape(
            -1, 2
        ),
    }
    return predictions if scores is None else {**predictions, "window_scores": np.array(scores)}


def clips_of(saliency: Any, scores: Sequence[Sequence[float]]) -> Predictions:
    """Return scores of clips of queries q0, q1 …; saliency is (queries, clips, raters)."""
    rated = np.array(saliency)
    queries, clips, _ = rated.shape
    ids = np.array([f"q{number}" for number in range(queries)])
    return {
        "ids": ids,
        "durations": np.full(queries, 2.0 * clips),
        "window_query": np.arange(queries),
        "windows": np.array([[0.0, 2.0]] * queries),
        "clip_query": np.repeat(np.arange(queries), clips),
        "clips": np.tile(np.arange(clips), queries),
        "saliency": rated.reshape(queries * clips, -1),
        "scored_ids": ids[: len(scores)],
        "scored_clip_query": np.repeat(np.arange(len(scores)), [len(own) for own in scores]),
        "clip_scores": np.array([score for own in scores for score in own], float),
    }


def full(predictions: Predictions, **options: Any) -> dict[str, float]:
    return HighlightMetric(**options)(predictions)["windows"]["full"]


def test_perfect_windows_have_all_figures_at_one():
    truth = [[(0.0, 10.0), (50.0, 90.0)], [(20.0, 40.0)]]
    figures = full(windows_of(truth, truth))
    assert figures.pop("queries") == 2
    assert set(figures.values()) == {1.0}
    assert len(figures) == 21


def test_windows_elsewhere_have_none():
    figures = full(windows_of([[(0.0, 10.0)]], [[(10.0, 20.0)]]))
    assert figures.pop("queries") == 1
    assert set(figures.values()) == {0.0}


def test_an_overlap_counts_up_to_its_threshold():
    # 12 of 20 seconds overlap
    figures = full(windows_of([[(0.0, 20.0)]], [[(0.0, 12.0)]]))
    assert [figures[f"R1@{t}"] for t in ("0.5", "0.6", "0.65")] == [1, 1, 0]
    assert [figures[f"mAP@{t}"] for t in ("0.5", "0.6", "0.65")] == [1, 1, 0]
    assert figures["mAP"] == pytest.approx(3 / 10)


def test_the_best_true_window_decides_and_only_the_first_of_ours():
    truth = [[(0.0, 10.0), (50.0, 60.0)]]
    assert full(windows_of(truth, [[(50.0, 60.0), (0.0, 10.0)]]))["R1@0.95"] == 1
    assert full(windows_of(truth, [[(20.0, 30.0), (0.0, 10.0)]]))["R1@0.5"] == 0


def test_precision_goes_by_score_and_recall_at_one_by_the_first_window():
    truth, ours = [[(0.0, 10.0)]], [[(50.0, 60.0), (0.0, 10.0)]]
    unscored, scored = full(windows_of(truth, ours)), full(windows_of(truth, ours, [0.1, 0.9]))
    assert (unscored["R1@0.5"], unscored["mAP"]) == (0, 0.5)
    assert (scored["R1@0.5"], scored["mAP"]) == (0, 1)


@pytest.mark.parametrize(("place", "precision"), [(0, 1), (9, 1 / 10), (10, 0)])
def test_ten_windows_count(place: int, precision: float):
    ours = [(50.0, 51.0 + number) for number in range(12)]
    ours[place] = (0.0, 10.0)
    assert full(windows_of([[(0.0, 10.0)]], [ours]))["mAP"] == pytest.approx(precision)
    assert full(windows_of([[(0.0, 10.0)]], [ours]), max_windows=11)["mAP"] > 0


def test_a_window_found_twice_counts_once():
    truth = [[(0.0, 10.0), (50.0, 60.0)]]
    assert full(windows_of(truth, [[(0.0, 10.0), (0.0, 10.0)]]))["mAP"] == 0.5


@pytest.mark.parametrize(
    ("seconds", "length"),
    [(2, "short"), (10, "short"), (10.5, "middle"), (30, "middle"), (30.5, "long"), (99, "long")],
)
def test_windows_are_short_to_10_seconds_middle_to_30_and_else_long(seconds: float, length: str):
    window = [[(0.0, float(seconds))]]
    found = HighlightMetric()(windows_of(window, window))["windows"]
    counted = {name for name, own in found.items() if own["queries"]}
    assert counted == {"full", length}
    assert found[length]["mAP"] == 1


def test_a_query_of_several_lengths_counts_in_each_with_the_windows_of_that_length():
    truth = [[(0.0, 10.0), (20.0, 40.0), (50.0, 90.0)]]
    found = HighlightMetric()(windows_of(truth, [[(20.0, 40.0), (50.0, 90.0)]]))["windows"]
    assert [found[name]["queries"] for name in ("full", "short", "middle", "long")] == [1, 1, 1, 1]
    assert [found[name]["R1@0.5"] for name in ("full", "short", "middle", "long")] == [1, 0, 1, 0]
    assert found["long"]["mAP"] == 0.5
    assert found["full"]["mAP"] == pytest.approx(2 / 3)


def test_a_missing_query_is_an_error_or_counts_with_nothing_found():
    truth = [[(0.0, 10.0)], [(0.0, 10.0)]]
    predictions = windows_of(truth, truth[:1])
    with pytest.raises(DataError, match="1 queries without a prediction: 'q1'"):
        HighlightMetric()(predictions)
    found = HighlightMetric(allow_missing=True)(predictions)
    assert found["protocol"]["missing_queries"] == 1
    assert (found["windows"]["full"]["R1@0.5"], found["windows"]["full"]["mAP"]) == (0.5, 0.5)
    assert found["windows"]["short"]["queries"] == 2


def test_a_query_for_which_no_window_is_predicted_finds_nothing():
    truth = [[(0.0, 10.0)], [(0.0, 10.0)]]
    assert full(windows_of(truth, [[(0.0, 10.0)], []]))["mAP"] == 0.5


def test_perfect_and_reversed_clips():
    saliency = [[[4, 4], [3, 3], [2, 2], [0, 0]]]
    perfect = HighlightMetric()(clips_of(saliency, [[4, 3, 2, 1]]))["clips"]
    assert all(own == {"mAP": 1, "Hit@1": 1} for own in perfect.values())
    worst = HighlightMetric()(clips_of(saliency, [[1, 2, 3, 4]]))["clips"]
    assert worst["VeryGood"] == {"mAP": pytest.approx(1 / 4), "Hit@1": 0}
    assert worst["Good"]["mAP"] == pytest.approx(2 / 4)
    assert worst["Fair"]["mAP"] == pytest.approx(3 / 4)


def test_levels_are_at_least_two_three_and_four():
    found = HighlightMetric()(clips_of([[[3], [1]]], [[1, 0]]))["clips"]
    assert {name: own["Hit@1"] for name, own in found.items()} == {
        "Fair": 1,
        "Good": 1,
        "VeryGood": 0,
    }


def test_precision_is_the_mean_over_raters_and_a_hit_needs_one_of_them():
    # the first rater likes the best clip, the second the other one, the third none
    found = HighlightMetric()(clips_of([[[4, 0, 0], [0, 4, 0]]], [[1, 0]]))["clips"]["VeryGood"]
    assert found == {"mAP": pytest.approx((1 + 1 / 2 + 0) / 3), "Hit@1": 1}


def test_equal_scores_are_at_chance():
    saliency = np.zeros((1, 10, 1), int)
    saliency[0, 7] = 4
    predictions = clips_of(saliency, [[0.5] * 10])
    found = HighlightMetric()(predictions)["clips"]["VeryGood"]
    assert found == {"mAP": pytest.approx(1 / 10), "Hit@1": pytest.approx(1 / 10)}
    # the public evaluator takes the first one
    original = HighlightMetric(ties="original")(predictions)
    assert original["clips"]["VeryGood"]["Hit@1"] == 0


def test_a_clip_too_many_is_relevant_to_nobody():
    found = HighlightMetric()(clips_of([[[4], [0]]], [[1, 0, 9]]))
    assert found["clips"]["VeryGood"] == {"mAP": 1, "Hit@1": 0}
    assert found["protocol"]["clips_without_score"] == 0


def test_a_clip_too_few_has_score_zero_but_is_not_the_best():
    found = HighlightMetric()(clips_of([[[4], [0], [4]]], [[-1, -2]]))
    # in the order of scores: the last one (0), the first (-1), the second (-2)
    assert found["clips"]["VeryGood"] == {"mAP": 1, "Hit@1": 1}
    assert found["protocol"]["clips_without_score"] == 1


def test_a_missing_query_has_no_hit_and_no_precision():
    predictions = clips_of([[[4], [0]], [[4], [4]]], [[1, 0]])
    found = HighlightMetric(allow_missing=True)(predictions)
    assert found["clips"]["Fair"] == {"mAP": 0.5, "Hit@1": 0.5}
    assert found["protocol"]["missing_queries"] == 1


def test_the_order_of_queries_changes_nothing():
    rng = np.random.default_rng(0)
    saliency, scores = rng.integers(5, size=(20, 6, 3)), rng.normal(size=(20, 6))
    forth, order = clips_of(saliency, scores.tolist()), rng.permutation(20)
    back = {
        **forth,
        "scored_ids": forth["scored_ids"][order],
        "clip_scores": scores[order].ravel(),
    }
    assert HighlightMetric()(forth) == HighlightMetric()(back)


def test_figures_have_their_official_names():
    truth = [[(0.0, 20.0)], [(0.0, 20.0)], [(0.0, 20.0)]]
    predictions = {
        **clips_of(np.full((3, 4, 3), 2), np.ones((3, 4)).tolist()),
        **windows_of(truth, [[(0.0, 20.0)], [], []]),
        "durations": np.full(3, 8.0),
    }
    official = official_names(HighlightMetric()(predictions))
    assert official.pop("MR-middle-mAP") == official["MR-full-mAP@0.75"] == 33.33
    assert official["HL-min-Fair-Hit1"] == official["HL-min-Fair-mAP"] == 100
    assert official["HL-min-Good-mAP"] == 0
    assert not {name for name in official if "short" in name or "long" in name}


def test_the_protocol_counts_what_was_asked():
    protocol = HighlightMetric()(windows_of([[(0.0, 1.0), (2.0, 3.0)]], [[(0.0, 1.0)]]))["protocol"]
    assert protocol["name"] == "moments and highlights"
    assert (protocol["queries"], protocol["windows"], protocol["max_windows"]) == (1, 2, 10)
    assert protocol["ties"] == "expectation"


def test_something_must_be_predicted():
    predictions = windows_of([[(0.0, 1.0)]], [[(0.0, 1.0)]])
    del predictions["scored_windows"]
    with pytest.raises(DataError, match="neither scored_windows nor clip_scores"):
        HighlightMetric()(predictions)


@pytest.mark.parametrize("options", [{"clip_seconds": 0.0}, {"max_windows": 0}])
def test_lengths_and_counts_are_above_zero(options: dict[str, Any]):
    with pytest.raises(ConfigError, match="both must be above 0"):
        HighlightMetric(**options)
