from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.metrics.retrieval import RetrievalMetric
from tests.retrieval_cases import as_vectors, predictions_of

FIGURES = ("R@1", "R@5", "R@10", "median_rank", "mean_rank")


def figures(results: Any, direction: str = "text_to_video") -> dict[str, float]:
    return {name: results[direction][name] for name in FIGURES}


def test_perfect_scores_find_everything_first():
    results = RetrievalMetric()(predictions_of(np.eye(20)))
    for direction in ("text_to_video", "video_to_text"):
        assert list(figures(results, direction).values()) == [1, 1, 1, 1, 1]
        assert results[direction]["chance"]["R@5"] == pytest.approx(5 / 20)


def test_reversed_scores_find_everything_last():
    results = RetrievalMetric()(predictions_of(-np.eye(20)))
    assert list(figures(results).values()) == [0, 0, 0, 20, 20]


def test_random_scores_are_near_chance():
    scores = np.random.default_rng(0).normal(size=(1000, 1000))
    found = figures(RetrievalMetric()(predictions_of(scores)))
    assert found["R@1"] < 0.005
    assert 0.005 < found["R@10"] < 0.02
    assert 470 < found["median_rank"] < 530


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_constant_scores_are_exactly_at_chance(size: int):
    constant = np.full((size, size), 0.3)
    vectors = np.full((size, 5), 0.1, np.float32)
    for predictions in (
        predictions_of(constant),
        as_vectors(predictions_of(constant), vectors, vectors),
    ):
        results = RetrievalMetric()(predictions)
        for direction in ("text_to_video", "video_to_text"):
            assert figures(results, direction) == results[direction]["chance"]
            assert results[direction]["R@5"] == pytest.approx(min(1, 5 / size))


@pytest.mark.parametrize("place", [0, 4])
def test_neither_ties_nor_a_nan_on_the_diagonal_change_the_number_of_queries(place: int):
    scores = np.full((5, 5), 0.5)
    results = RetrievalMetric()(predictions_of(scores))
    assert results["protocol"]["captions"] == 5
    assert (results["text_to_video"]["R@1"], results["text_to_video"]["median_rank"]) == (0.2, 3)
    scores[place, place] = np.nan
    with pytest.raises(DataError, match=f"1 scores are NaN: 't{place} with v{place}'"):
        RetrievalMetric()(predictions_of(scores))


def test_small_matrix_by_hand():
    # ranks of the captions 1, 2, 3; of the videos 2, 2, 1
    scores = [[3.0, 1, 2], [4, 3, 0], [9, 8, 7]]
    results = RetrievalMetric()(predictions_of(scores))
    assert figures(results) == {
        "R@1": pytest.approx(1 / 3),
        "R@5": 1,
        "R@10": 1,
        "median_rank": 2,
        "mean_rank": 2,
    }
    assert results["video_to_text"]["R@1"] == pytest.approx(1 / 3)
    assert results["video_to_text"]["mean_rank"] == pytest.approx((3 + 2 + 1) / 3)


def test_any_caption_of_a_video_counts_from_video_to_text():
    scores = [[0.0, 5], [9, 1], [1, 8]]  # captions 0 and 1 are of video 0
    results = RetrievalMetric()(predictions_of(scores, text_video=[0, 0, 1]))
    assert results["text_to_video"]["R@1"] == pytest.approx(2 / 3)
    assert results["video_to_text"]["R@1"] == 1
    assert results["video_to_text"]["queries"] == 2
    assert results["video_to_text"]["candidates"] == 3
    assert results["video_to_text"]["chance"]["R@1"] == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_transposing_scores_exchanges_the_directions():
    scores = np.random.default_rng(1).integers(0, 4, (12, 12)).astype(float)
    one, other = (RetrievalMetric()(predictions_of(s)) for s in (scores, scores.T))
    assert one["text_to_video"] == other["video_to_text"]
    assert one["video_to_text"] == other["text_to_video"]


def shuffled(predictions: Predictions, seed: int) -> Predictions:
    """Return the same predictions with captions, videos and rows in another order."""
    rng = np.random.default_rng(seed)
    texts, videos = (rng.permutation(len(predictions[n])) for n in ("text_ids", "video_ids"))
    rows, columns = (rng.permutation(len(predictions[n])) for n in ("text_ids", "video_ids"))
    place, text_place = np.argsort(videos), np.argsort(texts)
    return {
        "text_ids": predictions["text_ids"][texts],
        "video_ids": predictions["video_ids"][videos],
        "text_video": place[predictions["text_video"][texts]],
        "same_caption": text_place[predictions["same_caption"][texts]],
        "captions": predictions["captions"][texts],
        "scored_texts": predictions["scored_texts"][rows],
        "scored_videos": predictions["scored_videos"][columns],
        "scores": predictions["scores"][rows][:, columns],
    }


@pytest.mark.parametrize("equal_captions", ["own", "any"])
@pytest.mark.parametrize("ties", ["expectation", "original"])
def test_order_changes_nothing(ties: Any, equal_captions: Any):
    rng = np.random.default_rng(2)
    predictions = predictions_of(
        rng.integers(0, 6, (30, 10)),
        text_video=np.arange(30) % 10,
        same_caption=np.where(np.arange(30) < 25, np.arange(30), 0),
    )
    metric = RetrievalMetric(ties=ties, equal_captions=equal_captions)
    results = metric(predictions)
    for seed in range(3):
        assert metric(shuffled(predictions, seed)) == results


def test_videos_that_share_a_caption_tie_or_are_all_right():
    # captions 0 and 1 are the same words and so have the same scores; video 1 is the better match
    predictions = predictions_of([[5.0, 7, 0], [5, 7, 0], [0, 0, 9]], same_caption=[0, 0, 2])
    own = RetrievalMetric()(predictions)
    assert own["protocol"]["equal_captions"] == "own"
    assert own["protocol"]["captions_of_several_videos"] == 2
    assert own["text_to_video"]["R@1"] == pytest.approx(2 / 3)
    assert own["video_to_text"]["R@1"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    both = RetrievalMetric(equal_captions="any")(predictions)
    assert both["protocol"]["equal_captions"] == "any"
    assert both["text_to_video"]["R@1"] == 1
    assert both["video_to_text"]["R@1"] == 1
    assert both["text_to_video"]["chance"]["R@1"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)


def test_missing_videos_are_an_error_or_misses_over_the_full_pool():
    predictions = predictions_of(np.eye(4))
    partial = {
        **predictions,
        "scored_texts": predictions["scored_texts"][:3],
        "scored_videos": predictions["scored_videos"][:3],
        "scores": predictions["scores"][:3, :3],
    }
    with pytest.raises(DataError, match=r"1 captions without a prediction: 't3'"):
        RetrievalMetric()(partial)
    results = RetrievalMetric(allow_missing=True)(partial)
    assert results["protocol"]["missing_captions"] == results["protocol"]["missing_videos"] == 1
    for direction in ("text_to_video", "video_to_text"):
        assert figures(results, direction) == {
            "R@1": 0.75,
            "R@5": 0.75,
            "R@10": 0.75,
            "median_rank": 1,
            "mean_rank": (1 + 1 + 1 + 4) / 4,
        }
        assert results[direction]["candidates"] == results[direction]["queries"] == 4
        assert results[direction]["not_predicted"] == 1
        assert results[direction]["chance"]["R@1"] == 0.25


def test_protocol_says_what_was_ranked_and_how():
    predictions = predictions_of(np.ones((3, 2)), text_video=[0, 0, 1])
    assert RetrievalMetric(ties="original")(predictions)["protocol"] == {
        "name": "text-video retrieval",
        "captions": 3,
        "videos": 2,
        "captions_a_video": {"min": 1, "mean": 1.5, "max": 2},
        # printf 't0\tv0\nt1\tv0\nt2\tv1\n' | sha256sum
        "ids_sha256": "e1ba2271302b1e469236e815d5695a7911f8e25a8b26dd7b700becb7eddbd466",
        "captions_of_several_videos": 0,
        "equal_captions": "own",
        "ties": "original",
        "missing_captions": 0,
        "missing_videos": 0,
        "post_processing": "none",
    }
