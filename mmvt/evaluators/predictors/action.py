"""The action that a short clip shows, told from the names of all actions."""

from __future__ import annotations

from typing import Literal

import numpy as np
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.errors import ConfigError
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.evaluators.predictors.label_texts import label_vectors
from mmvt.evaluators.predictors.running import (
    batches_of,
    check_batch_size,
    check_outputs,
    entries_of,
    outputs_of,
    results_of_all,
)
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.labels import ClassClips, labelled

NEEDED = ("pooled_video", "pooled_text")


class ActionRecognitionPredictor(Predictor):
    """The dot product of a clip's vector with that of each action's name.

    Source: MIL-NCE (arXiv 1912.06430) §4; the names stand in for a trained classifier.

    Args:
        batch_size: clips that the model sees at once.
        label_batch_size: names that it sees at once.
        fold: the official split that is evaluated; null = all of them.
    """

    def __init__(
        self,
        *,
        batch_size: int = 64,
        label_batch_size: int = 64,
        fold: Literal[1, 2, 3] | None = None,
    ) -> None:
        self.batch_size = check_batch_size(batch_size)
        self.label_batch_size = check_batch_size(label_batch_size)
        self.fold = fold

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        check_outputs(self, model, NEEDED)
        model.check_encodes_apart()
        if not isinstance(dataset.aligner, SampledAligner):
            raise ConfigError(
                f"{type(dataset.aligner).__name__} makes no pairs of a clip and a text; use "
                "PairAligner"
            )
        model.eval()
        entries = entries_of(dataset)
        clips = [labelled(dataset.text_processor(entry.text_id), ClassClips) for entry in entries]
        folds = np.array([own.folds for own in clips])
        layout = dataset.aligner.layout
        labels = label_vectors(model, dataset, layout, self.label_batch_size)
        scored: dict[str, np.ndarray] = {}
        for batch in batches_of(dataset, entries, self.batch_size):
            videos = outputs_of(model, collate([example for _, example in batch]))["pooled_video"]
            scores = (videos.float() @ labels.T).cpu().numpy()
            scored |= {entry.name: own for (entry, _), own in zip(batch, scores, strict=True)}
        scored = results_of_all(scored, entries)
        return {
            "ids": np.array([entry.name for entry in entries]),
            "labels": np.array([own.label for own in clips]),
            "folds": folds if self.fold is None else folds[:, [self.fold - 1]],
            "scored_ids": np.array(list(scored)),
            "scores": np.stack(list(scored.values())),
        }
