"""How well each short clip of a video goes with a query, and the windows where it does."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.evaluators.predictors.label_texts import text_vectors
from mmvt.evaluators.predictors.running import (
    Entry,
    check_batch_size,
    check_outputs,
    comparable,
    entries_of,
    results_of_all,
)
from mmvt.evaluators.predictors.segmentation import video_rows
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.aligners.windows import Windows
from mmvt.processors.base import Aligner, Layout, TextClips
from mmvt.processors.labels import HighlightClips, labelled


class HighlightPredictor(Predictor):
    """The similarity of a query to each short clip, and the stretches of clips above the mean.

    Nothing is trained to find windows: states of overlapping windows over the video are averaged,
    a clip scores the mean similarity of its steps, and a predicted window is a longest stretch of
    clips that are all above the mean of their video; the one that is above it by the largest sum
    comes first. A clip behind the last step has the score of that step.

    Args:
        bert_name: name or folder of the tokenizer.
        max_video_len: length of the video part of the sequence, in feature steps.
        sliding_window: steps from the start of a window over the video to the start of the next.
        sliding_window_size: steps of a window.
        clip_seconds: length of a short clip.
        batch_size: videos that the model sees at once.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        max_video_len: int,
        sliding_window: int = 16,
        sliding_window_size: int = 32,
        clip_seconds: float = 2.0,
        batch_size: int = 16,
    ) -> None:
        if not clip_seconds > 0:
            raise ConfigError(f"clip_seconds is {clip_seconds}, but must be above 0")
        self.windowing: dict[str, Any] = {
            "bert_name": bert_name,
            "max_video_len": max_video_len,
            "stride": sliding_window,
            "size": sliding_window_size,
        }
        self.clip_seconds = clip_seconds
        self.batch_size = check_batch_size(batch_size)

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        check_outputs(self, model, ["hidden_video", "pooled_text"])
        model.check_encodes_apart()
        model.eval()
        entries = entries_of(dataset)
        clips = {
            entry.name: labelled(dataset.text_processor(entry.text_id), HighlightClips)
            for entry in entries
        }
        scores = self._clip_scores(model, dataset, entries, clips)
        found = {
            name: self.clip_seconds * stretches_above_mean(own) for name, own in scores.items()
        }
        return _annotation(clips) | {
            "scored_ids": np.array(list(scores)),
            "scored_window_query": _owners(found),
            "scored_windows": np.concatenate(list(found.values())),
            "scored_clip_query": _owners(scores),
            "clip_scores": np.concatenate(list(scores.values())),
        }

    def _clip_scores(
        self,
        model: MultimodalModel,
        dataset: MultimodalDataset,
        entries: list[Entry],
        clips: Mapping[str, HighlightClips],
    ) -> dict[str, np.ndarray]:
        """Return the score of each clip, by query."""
        fps, layout = dataset.video_processor.fps, _layout_of(dataset)
        if fps == 0:
            raise ConfigError("clips need features with a steady number of steps a second")
        tokens = [own.cap[0] for own in clips.values()]
        vectors = text_vectors(model, dataset, layout, tokens, self.batch_size)
        queries = dict(zip(clips, vectors, strict=True))
        windowed, windows = copy.copy(dataset), Windows(layout=layout, **self.windowing)
        windowed.aligner = _VideoAlone(windows)
        scores = {}
        for entry, states in video_rows(
            model, windowed, entries, self.batch_size, windows, _states_of_steps
        ):
            own = (comparable(model, states) @ queries[entry.name]).cpu().numpy()
            count = int(clips[entry.name].duration / self.clip_seconds)
            scores[entry.name] = clip_means(own, self.clip_seconds * fps, count)
        return results_of_all(scores, entries)


def clip_means(
    scores: Float[np.ndarray, " steps"], clip_steps: float, count: int
) -> Float[np.ndarray, " count"]:
    """Return the mean score of the steps of each clip; one behind the last step has that one's.

    Args:
        scores: of the steps of a video.
        clip_steps: length of a clip in steps.
        count: clips of the video.
    """
    edges = np.floor(np.arange(count + 1) * clip_steps + 1e-6).astype(int)
    last = len(scores) - 1
    return np.array(
        [
            scores[min(start, last) : max(end, min(start, last) + 1)].mean()
            for start, end in itertools.pairwise(edges)
        ]
    )


def stretches_above_mean(scores: Float[np.ndarray, " clips"]) -> Float[np.ndarray, "windows 2"]:
    """Return start and end of each stretch of clips above the mean, in clips, the best one first.

    Where all score alike, the whole video is one.
    """
    above = scores - scores.mean()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], above > 0, [False]])))
    if len(edges) == 0:
        return np.array([[0.0, len(scores)]])
    windows = edges.reshape(-1, 2)
    sums = np.array([above[start:end].sum() for start, end in windows])
    return windows[np.argsort(-sums, kind="stable")].astype(float)


class _VideoAlone(Aligner):
    """Windows of a video, without a text or labels."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows

    @override
    def __call__(
        self,
        video_id: str,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        return self.windows(video_features)[1]


def _states_of_steps(
    outputs: Mapping[str, Tensor],
) -> Float[Tensor, "windows video_len hidden"]:
    return outputs["hidden_video"][:, 1:-1]


def _layout_of(dataset: MultimodalDataset) -> Layout:
    if not isinstance(dataset.aligner, SampledAligner):
        raise ConfigError(
            f"{type(dataset.aligner).__name__} makes no pairs of a video and a query; use "
            "SampledAligner or PairAligner"
        )
    return dataset.aligner.layout


def _annotation(clips: Mapping[str, HighlightClips]) -> Predictions:
    """Return what people say of the queries."""
    windows = {name: own.windows for name, own in clips.items()}
    rated = {name: own.clip_ids for name, own in clips.items()}
    raters = max(own.saliency.shape[1] for own in clips.values())
    return {
        "ids": np.array(list(clips)),
        "durations": np.array([own.duration for own in clips.values()]),
        "window_query": _owners(windows),
        "windows": np.concatenate(list(windows.values())),
        "clip_query": _owners(rated),
        "clips": np.concatenate(list(rated.values())),
        "saliency": np.concatenate([own.saliency.reshape(-1, raters) for own in clips.values()]),
    }


def _owners(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the place among the keys that each row belongs to."""
    return np.repeat(np.arange(len(values)), [len(own) for own in values.values()])
