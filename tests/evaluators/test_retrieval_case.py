from __future__ import annotations

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.retrieval_case import RetrievalCase
from tests.retrieval_cases import as_vectors, predictions_of

pytestmark = pytest.mark.faults


@pytest.fixture
def good() -> Predictions:
    return predictions_of(np.eye(3))


def test_predictions_are_read_as_they_were_written(good: Predictions):
    case = RetrievalCase.of(good)
    assert case.text_ids == ["t0", "t1", "t2"]
    assert case.video_ids == ["v0", "v1", "v2"]
    assert case.text_video == case.same_caption == case.text_rows == case.video_columns == [0, 1, 2]
    assert case.captions[1] == "caption 1"
    assert case.missing() == ([], [])
    assert case.scores.rows(1, 2).tolist() == [[0, 1, 0]]


def test_rows_may_come_in_another_order_than_ids(good: Predictions):
    case = RetrievalCase.of({**good, "scored_texts": good["scored_texts"][[2, 0, 1]]})
    assert case.text_rows == [2, 0, 1]
    assert [c.tolist() for c in case.text_to_video().right] == [[2], [0], [1]]
    assert [c.tolist() for c in case.video_to_text().right] == [[1], [2], [0]]


def test_a_video_without_captions_only_distracts():
    case = RetrievalCase.of(predictions_of(np.eye(2, 3)))
    direction = case.video_to_text()
    assert direction.right_counts == [1, 1]
    assert direction.asked.tolist() == [0, 1]
    assert direction.misses == 0
    assert case.text_to_video().candidates == 3


def test_equal_captions_make_each_others_videos_and_captions_right():
    case = RetrievalCase.of(
        predictions_of(np.eye(4, 3), text_video=[0, 1, 1, 2], same_caption=[0, 1, 0, 3])
    )
    assert [c.tolist() for c in case.text_to_video("own").right] == [[0], [1], [1], [2]]
    assert [c.tolist() for c in case.text_to_video("any").right] == [[0, 1], [1], [0, 1], [2]]
    assert [c.tolist() for c in case.video_to_text("own").right] == [[0], [1, 2], [3]]
    assert [c.tolist() for c in case.video_to_text("any").right] == [[0, 2], [0, 1, 2], [3]]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("text_ids", ["t0", "t1", "t1"], "text_ids holds ids more than once: 't1'"),
        ("video_ids", ["v0", "v0", "v2"], "video_ids holds ids more than once: 'v0'"),
        ("text_video", [0, 1], "text_video has 2 rows for 3 captions"),
        ("text_video", [0, 1, 3], "text_video must hold whole numbers from 0 to 2"),
        ("text_video", [0, 1, -1], "text_video must hold whole numbers from 0 to 2"),
        ("same_caption", [0.0, 1.0, 2.0], "same_caption must hold whole numbers from 0 to 2"),
        ("captions", ["one"], "captions has 1 rows for 3 captions"),
        ("scored_texts", ["t0", "t1"], "1 captions without a prediction: 't2'"),
        ("scored_videos", ["v0", "v1", "v1"], "1 videos predicted more than once: 'v1'"),
        (
            "scored_texts",
            ["t0", "t1", "x"],
            (
                "1 predictions of captions that the split does not have: 'x'\n"
                "1 captions without a prediction: 't2'"
            ),
        ),
        ("scores", [[1.0]], r"scores have the shape (1, 1) for 3 captions and 3 videos"),
        (
            "scores",
            [[1, 2, np.nan], [1, 2, 3], [np.nan, 2, 3]],
            "2 scores are NaN: 't0 with v2', 't2 with v0'",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    good: Predictions, name: str, value: list[object], message: str
):
    with pytest.raises(DataError) as caught:
        RetrievalCase.of({**good, name: np.array(value)})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "videos", "message"),
    [
        (np.ones((2, 4)), np.ones((3, 4)), "text_vectors have the shape (2, 4) for 3 ids"),
        (np.ones((3, 4)), np.ones(3), "video_vectors have the shape (3,) for 3 ids"),
        (np.ones((3, 4)), np.ones((3, 5)), "text_vectors are 4 wide, but video_vectors 5"),
        (
            np.array([[1], [np.nan], [np.inf]]),
            np.ones((3, 1)),
            "the vectors of 2 texts are not finite: 't1', 't2'",
        ),
        (np.ones((3, 1)), np.array([[1], [2], [np.nan]]), "1 videos are not finite: 'v2'"),
    ],
)
def test_vectors_that_do_not_fit_are_named(
    good: Predictions, texts: np.ndarray, videos: np.ndarray, message: str
):
    with pytest.raises(DataError) as caught:
        RetrievalCase.of(as_vectors(good, texts, videos))
    assert message in str(caught.value)


def test_a_nan_off_the_diagonal_is_an_error_and_drops_no_row(good: Predictions):
    scores = np.eye(3)
    scores[0, 2] = np.nan
    with pytest.raises(DataError, match="1 scores are NaN: 't0 with v2'"):
        RetrievalCase.of({**good, "scores": scores})


@pytest.mark.parametrize("name", ["text_ids", "same_caption", "scored_videos"])
def test_a_missing_array_is_named(good: Predictions, name: str):
    with pytest.raises(DataError, match=f"no array '{name}', only captions"):
        RetrievalCase.of({key: value for key, value in good.items() if key != name})


def test_neither_scores_nor_vectors_is_an_error(good: Predictions):
    del good["scores"]
    with pytest.raises(DataError, match="no array 'text_vectors'"):
        RetrievalCase.of(good)


def test_a_split_without_captions_or_without_predictions_is_an_error(good: Predictions):
    with pytest.raises(DataError, match="a split without captions"):
        RetrievalCase.of(predictions_of(np.empty((0, 2))))
    nothing = {**good, "scored_texts": np.array([]), "scores": np.empty((0, 3))}
    with pytest.raises(DataError, match="no caption or no video of the split has a prediction"):
        RetrievalCase.of(nothing, allow_missing=True)


def test_ten_ids_are_named_and_the_others_counted():
    predictions = predictions_of(np.eye(14))
    predictions["scored_texts"] = predictions["scored_texts"][:1]
    with pytest.raises(DataError, match="13 captions without a prediction: 't1', .* and 3 more"):
        RetrievalCase.of(predictions)


def test_predictions_that_may_be_missing_are_listed(good: Predictions):
    partial = {
        **good,
        "scored_texts": good["scored_texts"][1:],
        "scored_videos": good["scored_videos"][1:],
        "scores": good["scores"][1:, 1:],
    }
    case = RetrievalCase.of(partial, allow_missing=True)
    assert case.missing() == (["t0"], ["v0"])
    assert case.text_to_video().misses == case.video_to_text().misses == 1
