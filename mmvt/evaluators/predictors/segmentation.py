"""The class of every step of long videos, from windows of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.errors import ConfigError
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.evaluators.predictors.label_texts import label_vectors
from mmvt.evaluators.predictors.merging import label_similarity, merge_windows, most_likely
from mmvt.evaluators.predictors.running import (
    Entry,
    batches_of,
    check_batch_size,
    check_outputs,
    comparable,
    entries_of,
    outputs_of,
    results_of_all,
)
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.segmentation import SegmentationAligner
from mmvt.processors.aligners.windows import Windows, window_slices
from mmvt.processors.labels import SpanClips, labelled

NO_CLASS = 0

Rows = Float[Tensor, "windows video_len width"]


class SegmentationPredictor(Predictor):
    """The likeliest class of each step: logits of overlapping windows are averaged first.

    Every step is in a window, as the aligner sees to. A video without features counts with the
    steps up to the end of its last labelled part.

    Source: VideoCLIP (arXiv 2109.14084) §5.3, action segmentation.

    Args:
        batch_size: videos that the model sees at once, with all their windows; they change no
            class.
    """

    def __init__(self, *, batch_size: int = 4) -> None:
        self.batch_size = check_batch_size(batch_size)

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        check_outputs(self, model, ["logits"])
        model.eval()
        return _predictions(
            model, dataset, self.batch_size, lambda outputs: outputs["logits"], most_likely
        )


class ZeroShotSegmentationPredictor(Predictor):
    """The label whose text is most similar to a step, or none; no class was trained.

    States of overlapping windows are averaged first. A step is of no class (0) if it is no more
    similar to any label than two labels are to each other. Every step is in a window, as the
    aligner sees to.

    Source: VideoCLIP (arXiv 2109.14084) §5.4, zero-shot action segmentation.

    Args:
        batch_size: videos that the model sees at once, with all their windows; they change no
            class.
        label_batch_size: labels whose texts the model sees at once.
    """

    def __init__(self, *, batch_size: int = 4, label_batch_size: int = 64) -> None:
        self.batch_size = check_batch_size(batch_size)
        self.label_batch_size = check_batch_size(label_batch_size)

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        check_outputs(self, model, ["hidden_video", "pooled_text"])
        model.check_encodes_apart()
        model.eval()
        layout = _windows_of(dataset).layout
        labels = label_vectors(model, dataset, layout, self.label_batch_size)
        return _predictions(
            model,
            dataset,
            self.batch_size,
            lambda outputs: outputs["hidden_video"][:, 1:-1],
            lambda states: label_similarity(comparable(model, states), labels),
        )


def video_rows(
    model: MultimodalModel,
    dataset: MultimodalDataset,
    entries: list[Entry],
    batch_size: int,
    windows: Windows,
    rows_of: Callable[[dict[str, Tensor]], Rows],
) -> Iterator[tuple[Entry, Float[Tensor, "steps width"]]]:
    """Yield (entry, a row a step) of each video with features, its windows merged.

    Args:
        model: in evaluation mode.
        dataset: its aligner makes the windows.
        entries: of the dataset.
        batch_size: videos that the model sees at once.
        windows: how they are laid over a video.
        rows_of: picks a row a step of each window from the outputs of the model.
    """
    for batch in batches_of(dataset, entries, batch_size):
        examples = [example for _, example in batch]
        rows = rows_of(outputs_of(model, collate(examples))).float()
        each = rows.split([example["num_windows"] for example in examples])
        for (entry, example), own in zip(batch, each, strict=True):
            steps = window_slices(example["video_len"], windows.stride, windows.size)
            real = [row[: s.stop - s.start] for row, s in zip(own, steps, strict=True)]
            yield entry, merge_windows(real, steps, example["video_len"])


def _predictions(
    model: MultimodalModel,
    dataset: MultimodalDataset,
    batch_size: int,
    rows_of: Callable[[dict[str, Tensor]], Rows],
    decide: Callable[[Float[Tensor, "steps width"]], Int64[Tensor, " steps"]],
) -> Predictions:
    entries = entries_of(dataset)
    windows = _windows_of(dataset)
    rows = video_rows(model, dataset, entries, batch_size, windows, rows_of)
    own = {entry.name: decide(row).cpu().numpy() for entry, row in rows}
    classes = results_of_all(own, entries)
    truths = [_truth(dataset, entry, classes) for entry in entries]
    return {
        "ids": np.array([entry.name for entry in entries]),
        "frames": np.array([len(truth) for truth in truths]),
        "targets": np.concatenate(truths),
        "scored_ids": np.array(list(classes)),
        "classes": np.concatenate(list(classes.values())),
    }


def _truth(
    dataset: MultimodalDataset, entry: Entry, classes: dict[str, np.ndarray]
) -> Int64[np.ndarray, " steps"]:
    """Return the class of each step of a video; without features, up to its last part's end."""
    clips = dataset.text_processor(entry.text_id).scaled(dataset.video_processor.fps)
    spans = labelled(clips, SpanClips).spans
    steps = math.ceil(spans.end.max(initial=0))
    truth = np.full(len(classes.get(entry.name, range(steps))), NO_CLASS)
    for label, part in spans.steps(len(truth)):
        truth[part] = label
    return truth


def _windows_of(dataset: MultimodalDataset) -> Windows:
    if not isinstance(dataset.aligner, SegmentationAligner):
        raise ConfigError(
            f"steps are told apart by windows, which {type(dataset.aligner).__name__} does not "
            "make; use SegmentationAligner"
        )
    return dataset.aligner.windows
