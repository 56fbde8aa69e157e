"""Scores of the texts that go, or do not go, with a video."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.evaluators.predictors.running import (
    batches_of,
    check_batch_size,
    check_outputs,
    entries_of,
    outputs_of,
    results_of_all,
)
from mmvt.models.model import MultimodalModel
from mmvt.processors.base import Example
from mmvt.processors.labels import ChoiceClips, labelled

NEEDED = ("pooled_video", "pooled_text")


class MultipleChoicePredictor(Predictor):
    """The dot product of each answer's vector with that of the video.

    Each answer is shown beside the video, so that they may see each other where a model lets them.

    Source: VideoCLIP (arXiv 2109.14084) §5.2.

    Args:
        batch_size: videos that the model sees at once, with all their answers.
    """

    def __init__(self, *, batch_size: int = 16) -> None:
        self.batch_size = check_batch_size(batch_size)

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        check_outputs(self, model, NEEDED)
        model.eval()
        entries = entries_of(dataset)
        scored: dict[str, np.ndarray] = {}
        for batch in batches_of(dataset, entries, self.batch_size):
            examples = [example for _, example in batch]
            outputs = outputs_of(model, beside_video(examples))
            products = (outputs["pooled_video"] * outputs["pooled_text"]).sum(dim=1).float().cpu()
            each = products.split([len(example["caps"]) for example in examples])
            scored |= {entry.name: own.numpy() for (entry, _), own in zip(batch, each, strict=True)}
        scored = results_of_all(scored, entries)
        answers = [
            labelled(dataset.text_processor(entry.text_id), ChoiceClips).answer for entry in entries
        ]
        return {
            "ids": np.array([entry.name for entry in entries]),
            "answers": np.array(answers),
            "scored_ids": np.array(list(scored)),
            "scores": padded_scores(list(scored.values())),
        }


def beside_video(examples: list[Example]) -> dict[str, Tensor]:
    """Return a batch with a row a text: each beside its video, which is repeated."""
    times = torch.tensor([len(example["caps"]) for example in examples])
    texts = {key: torch.cat([e[key] for e in examples]) for key in ("caps", "cmasks")}
    videos = {
        key: torch.stack([e[key] for e in examples]).repeat_interleave(times, dim=0)
        for key in ("vfeats", "vmasks")
    }
    return {**texts, **videos}


def padded_scores(rows: list[np.ndarray]) -> np.ndarray:
    """Return rows of scores as one array, -inf where a question has fewer choices than others."""
    padded = np.full((len(rows), max(map(len, rows))), -np.inf, np.float32)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded
