"""All captions of a video with their times, written as one text by a language model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.evaluators.predictors.running import (
    Entry,
    batches_of,
    check_batch_size,
    entries_of,
    results_of_all,
)
from mmvt.models.decoding import Decoding
from mmvt.models.generation import write
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.dense import DenseCaptionAligner
from mmvt.processors.text.tokenizer import text_ends

Row = tuple[str, float, float, str]


class DenseCaptionPredictor(Predictor):
    """The captions that a language model writes of each video, beside those of people.

    What it writes is read as :class:`~mmvt.processors.times.TimeCodec` does; a piece that cannot be
    read is no caption, and ``problems`` names each. ``written`` are the texts themselves.

    Args:
        batch_size: videos that the model sees at once; it changes no text.
        num_beams: texts that are followed at once; 1 = the likeliest token each time.
        max_decode_length: longest text of a video, in tokens, its end included.
        length_penalty: of several beams, a text counts the sum of its log-probabilities by its
            length to this power.
    """

    def __init__(
        self,
        *,
        batch_size: int = 8,
        num_beams: int = 1,
        max_decode_length: int = 256,
        length_penalty: float = 1.0,
    ) -> None:
        self.batch_size = check_batch_size(batch_size)
        self.decoding = Decoding(
            num_beams=num_beams, max_decode_length=max_decode_length, length_penalty=length_penalty
        )

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        aligner = dataset.aligner
        if not isinstance(aligner, DenseCaptionAligner):
            raise ConfigError(
                f"DenseCaptionPredictor needs DenseCaptionAligner, not {type(aligner).__name__}"
            )
        if dataset.video_processor.fps == 0:
            raise DataError("times need features with a steady number of steps a second")
        entries = entries_of(dataset)
        said = self._said(model, dataset, entries, aligner.tokenizer)
        hypotheses: list[Row] = []
        problems: list[str] = []
        for entry in entries:
            if entry.name not in said:
                continue
            steps = len(dataset.video_processor(entry.video_id))
            seconds = steps / dataset.video_processor.fps
            captions, wrong = aligner.codec.parse(said[entry.name])
            problems += wrong.elements()
            for start, end, text in captions:
                first, last = (aligner.codec.decode(place, seconds) for place in (start, end))
                hypotheses.append((entry.video_id, first, last, text))
        return {
            "ids": np.array([entry.video_id for entry in entries]),
            "scored_ids": np.array([e.video_id for e in entries if e.name in said], np.str_),
            "written": np.array([said[e.name] for e in entries if e.name in said], np.str_),
            **_arrays("reference", "references", _references(dataset, entries)),
            "reference_source": np.array("texts"),
            **_arrays("hypothesis", "hypotheses", hypotheses),
            "problems": np.array(problems, np.str_),
        }

    def _said(
        self,
        model: MultimodalModel,
        dataset: MultimodalDataset,
        entries: list[Entry],
        tokenizer: Any,
    ) -> dict[str, str]:
        """Return what is written of each video that has features."""
        ends = text_ends(tokenizer)
        said: dict[str, str] = {}
        device = next(model.parameters()).device
        model.eval()
        for batch in batches_of(dataset, entries, self.batch_size):
            made = collate([example for _, example in batch])
            tensors = {key: v.to(device) for key, v in made.items() if isinstance(v, Tensor)}
            with torch.inference_mode(), torch.autocast(device.type, enabled=False):
                ids = write(model, tensors, self.decoding, end=ends.end, pad=ends.pad).tolist()
            texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
            said |= {entry.name: text for (entry, _), text in zip(batch, texts, strict=True)}
        return results_of_all(said, entries)


def _references(dataset: MultimodalDataset, entries: list[Entry]) -> list[Row]:
    """Return what people said of each video, in seconds.

    Raises:
        DataError: a caption has no end.
        ConfigError: the captions are not known as texts.
    """
    rows: list[Row] = []
    for entry in entries:
        clips = dataset.text_processor(entry.text_id)
        if clips.texts is None:
            raise ConfigError("the text processor knows no texts of captions to compare with")
        if np.isinf(clips.end).any():
            raise DataError(f"text {entry.name!r}: dense captions need times")
        spans = zip(clips.start.tolist(), clips.end.tolist(), clips.texts, strict=True)
        rows += [(entry.video_id, *span) for span in spans]
    return rows


def _arrays(noun: str, plural: str, rows: list[Row]) -> Predictions:
    return {
        f"{noun}_ids": np.array([row[0] for row in rows], np.str_),
        f"{noun}_times": np.array([row[1:3] for row in rows], float).reshape(-1, 2),
        plural: np.array([row[3] for row in rows], np.str_),
    }
