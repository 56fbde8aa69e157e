"""The second in which each step of a task is done."""

from __future__ import annotations

import math

import numpy as np
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.errors import ConfigError
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.evaluators.predictors.assignment import assign_in_order
from mmvt.evaluators.predictors.merging import merge_windows
from mmvt.evaluators.predictors.running import (
    Entry,
    batches_of,
    check_outputs,
    entries_of,
    outputs_of,
    results_of_all,
)
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.localization import StepLocalizationAligner
from mmvt.processors.aligners.windows import window_slices
from mmvt.processors.labels import StepClips, labelled


class StepLocalizationPredictor(Predictor):
    """One second for each step of a video's task, in the order of the steps.

    Logits of overlapping windows are averaged; of all ways to give each step a second of its own in
    order, the one with the largest sum of log-probabilities (over the steps) is taken. A video with
    fewer seconds than steps has none. A video without features counts with the seconds up to the
    end of its last step.

    Source: CrossTask (arXiv 1903.08225) §4; VideoCLIP (arXiv 2109.14084) §5.3.
    """

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        check_outputs(self, model, ["logits"])
        aligner = dataset.aligner
        if not isinstance(aligner, StepLocalizationAligner):
            raise ConfigError(
                "steps of a task are found in windows with the texts of the steps, which "
                f"{type(aligner).__name__} does not make; use StepLocalizationAligner"
            )
        model.eval()
        windows, entries = aligner.windows, entries_of(dataset)
        assigned: dict[str, np.ndarray] = {}
        for [(entry, example)] in batches_of(dataset, entries, 1):
            logits = outputs_of(model, collate([example]))["logits"].float()
            steps = window_slices(example["video_len"], windows.stride, windows.size)
            rows = logits.split([window.stop - window.start for window in steps])
            merged = merge_windows(rows, steps, example["video_len"])
            gain = merged.double().log_softmax(dim=1).cpu().numpy()
            assigned[entry.name] = assign_in_order(gain)
        assigned = results_of_all(assigned, entries)
        clips = [_clips_of(dataset, entry) for entry in entries]
        truths = [
            _truth(own, assigned.get(entry.name)) for entry, own in zip(entries, clips, strict=True)
        ]
        return {
            "ids": np.array([entry.name for entry in entries]),
            "tasks": np.array([own.task for own in clips]),
            "frames": np.array([len(truth) for truth in truths]),
            "steps": np.array([len(own) for own in clips]),
            "targets": np.concatenate([truth.ravel() for truth in truths]),
            "scored_ids": np.array(list(assigned)),
            "assigned": np.concatenate([a.ravel() for a in assigned.values()]).astype(np.uint8),
        }


def _clips_of(dataset: MultimodalDataset, entry: Entry) -> StepClips:
    clips = dataset.text_processor(entry.text_id).scaled(dataset.video_processor.fps)
    return labelled(clips, StepClips)


def _truth(clips: StepClips, assigned: np.ndarray | None) -> np.ndarray:
    """Return the seconds in which each step is done, of as many as were looked at."""
    end = math.ceil(clips.spans.end.max(initial=0))
    truth = np.zeros((end if assigned is None else len(assigned), len(clips)), np.uint8)
    for step, part in clips.spans.steps(len(truth)):
        truth[part, step] = 1
    return truth
