"""Retrieval predictions written by hand, shared by the tests of evaluation and of reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmvt.evaluators.base import Predictions


def predictions_of(
    scores: Sequence[Sequence[float]] | np.ndarray,
    text_video: Sequence[int] | None = None,
    same_caption: Sequence[int] | None = None,
) -> Predictions:
    """Return predictions of captions t0, t1 … and videos v0, v1 …; caption i belongs to video i."""
    matrix = np.asarray(scores, float)
    texts, videos = matrix.shape
    text_ids = np.array([f"t{i}" for i in range(texts)])
    video_ids = np.array([f"v{i}" for i in range(videos)])
    return {
        "text_ids": text_ids,
        "video_ids": video_ids,
        "text_video": np.array(range(texts) if text_video is None else text_video),
        "same_caption": np.array(range(texts) if same_caption is None else same_caption),
        "captions": np.array([f"caption {i}" for i in range(texts)]),
        "scored_texts": text_ids,
        "scored_videos": video_ids,
        "scores": matrix,
    }


def as_vectors(predictions: Predictions, texts: np.ndarray, videos: np.ndarray) -> Predictions:
    """Return the predictions with vectors in the place of scores."""
    kept = {name: array for name, array in predictions.items() if name != "scores"}
    return {**kept, "text_vectors": texts, "video_vectors": videos}
