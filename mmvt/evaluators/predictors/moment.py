"""How well each segment of a video goes with a sentence."""

from __future__ import annotations

import numpy as np
import torch
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.errors import ConfigError
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.evaluators.predictors.running import (
    batches_of,
    check_batch_size,
    check_outputs,
    comparable,
    entries_of,
    outputs_of,
    results_of_all,
)
from mmvt.evaluators.predictors.segments import CHUNKS, chunk_segments, segment_vectors
from mmvt.models.model import MultimodalModel
from mmvt.processors.labels import MomentClips, labelled


class MomentPredictor(Predictor):
    """The similarity of a sentence to each of the 21 segments of six chunks of a video.

    Source: VideoCLIP (arXiv 2109.14084) §5.4, zero-shot moment retrieval on DiDeMo.

    Args:
        batch_size: sentences that the model sees at once.
    """

    def __init__(self, *, batch_size: int = 64) -> None:
        self.batch_size = check_batch_size(batch_size)

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        check_outputs(self, model, ["hidden_video", "pooled_text"])
        model.check_encodes_apart()
        model.eval()
        entries, segments = entries_of(dataset), chunk_segments()
        clips = [labelled(dataset.text_processor(entry.text_id), MomentClips) for entry in entries]
        scored: dict[str, np.ndarray] = {}
        for batch in batches_of(dataset, entries, self.batch_size):
            inputs = collate([example for _, example in batch])
            outputs = outputs_of(model, inputs)
            frames = outputs["hidden_video"][:, 1:-1].float()
            rows = zip(batch, frames, inputs["vmasks"], outputs["pooled_text"].float(), strict=True)
            for (entry, example), states, mask, text in rows:
                _check_room(example["chunk"], len(mask))
                vectors, begun = segment_vectors(states, mask, segments, example["chunk"])
                scores = (comparable(model, vectors) @ text).cpu()
                scored[entry.name] = torch.where(begun, scores, -torch.inf).numpy()
        scored = results_of_all(scored, entries)
        return {
            "ids": np.array([entry.name for entry in entries]),
            "annotated": np.repeat(np.arange(len(clips)), [len(own.moments) for own in clips]),
            "moments": np.concatenate([own.moments for own in clips]),
            "segments": np.array(segments),
            "scored_ids": np.array(list(scored)),
            "scores": np.stack(list(scored.values())),
        }


def _check_room(chunk: float, room: int) -> None:
    if not 1 <= round(chunk) <= round(CHUNKS * chunk) <= room:
        raise ConfigError(
            f"{CHUNKS} chunks of {chunk:g} steps do not fit into max_video_len {room}"
        )
