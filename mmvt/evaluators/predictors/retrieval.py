"""Vectors of all videos and captions of a split."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.distributed import in_turn, of_all
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Aligner, TextClips
from mmvt.processors.sampling import WholeSampler

NEEDED = ("pooled_video", "pooled_text")
LONGEST_CAPTION = 200  # letters that are kept for reading


class RetrievalPredictor(Predictor):
    """One vector a video and one a caption, whose dot products rank them.

    A video is paired with its captions one by one. Nothing is drawn: where the dataset's aligner
    would sample a part, the whole video is taken, and the layout cuts what is too long. A video,
    and a caption that occurs several times, has one vector.

    Args:
        batch_size: pairs that the model sees at once.
    """

    def __init__(self, *, batch_size: int = 64) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, but must be at least 1")
        self.batch_size = batch_size

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        produced = type(model.head).produces
        if not set(NEEDED) <= set(produced):
            raise ConfigError(
                f"RetrievalPredictor needs {' and '.join(NEEDED)}, but {type(model.head).__name__} "
                f"produces {', '.join(produced)}"
            )
        model.check_encodes_apart()
        captions = _captions_of(dataset)
        missing = set(dataset.missing)
        predicted = [place for place, c in enumerate(captions) if c.video_id not in missing]
        video_vectors, text_vectors = self._vectors(model, dataset, len(predicted))
        video_ids = list(dict.fromkeys(caption.video_id for caption in captions))
        number = {video: place for place, video in enumerate(video_ids)}
        first: dict[tuple[int, ...], int] = {}
        same = [first.setdefault(c.tokens, place) for place, c in enumerate(captions)]
        row_of_text = _first_rows(same[place] for place in predicted)
        row_of_video = _first_rows(captions[place].video_id for place in predicted)
        return {
            "text_ids": np.array([caption.text_id for caption in captions]),
            "video_ids": np.array(video_ids),
            "text_video": np.array([number[caption.video_id] for caption in captions]),
            "same_caption": np.array(same),
            "captions": np.array([caption.words for caption in captions]),
            "scored_texts": np.array([captions[place].text_id for place in predicted]),
            "scored_videos": np.array(list(row_of_video)),
            "text_vectors": text_vectors[[row_of_text[same[place]] for place in predicted]],
            "video_vectors": video_vectors[list(row_of_video.values())],
        }

    def _vectors(
        self, model: MultimodalModel, dataset: MultimodalDataset, pairs: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (vectors of videos, vectors of texts), a row a pair."""
        device = next(itertools.chain(model.parameters(), model.buffers())).device
        rows: dict[int, tuple[Tensor, ...]] = {}
        model.eval()
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            for number, batch in in_turn(enumerate(_batches(dataset, self.batch_size))):
                outputs = model(**{k: v.to(device) for k, v in batch.items()})
                rows[number] = tuple(outputs[name].float().cpu() for name in NEEDED)
        every = of_all(rows, range(pairs))
        video, text = (torch.cat(part).numpy() for part in zip(*every.values(), strict=True))
        if len(video) != pairs:
            raise DataError(f"the dataset made {len(video)} examples of {pairs} captions")
        return video, text


@runtime_checkable
class _HasTokenizer(Protocol):
    """A text processor whose tokens can be read."""

    tokenizer: Any


@dataclass(frozen=True)
class _Caption:
    """One caption of a split.

    Attributes:
        text_id: its id.
        video_id: the video it belongs to.
        tokens: its tokens, before anything is cut.
        words: the tokens as text; empty where the processor has no tokenizer.
    """

    text_id: str
    video_id: str
    tokens: tuple[int, ...]
    words: str


class _OneByOne(Aligner):
    """Pairs of a video and each of its captions, nothing drawn.

    Args:
        aligner: makes a pair; one that samples gives way to one that does not.
    """

    def __init__(self, *, aligner: Aligner) -> None:
        self.aligner = aligner
        if isinstance(aligner, SampledAligner) and not isinstance(aligner.sampler, WholeSampler):
            self.aligner = PairAligner(layout=aligner.layout)

    @override
    def __call__(
        self,
        video_id: str,
        video_features: np.ndarray,
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        ones = (
            TextClips(clips.start[at : at + 1], clips.end[at : at + 1], [clips.cap[at]])
            for at in range(len(clips))
        )
        return {"pairs": [self.aligner(video_id, video_features, one, rng) for one in ones]}


def _batches(dataset: MultimodalDataset, size: int) -> Iterator[dict[str, Tensor]]:
    """Yield the pairs of a video and a caption in batches, in the order of the dataset."""
    pairs_of = copy.copy(dataset)
    pairs_of.aligner = _OneByOne(aligner=dataset.aligner)
    pairs = (pair for index in range(len(pairs_of)) for pair in pairs_of[index]["pairs"])
    while batch := list(itertools.islice(pairs, size)):
        yield {key: v for key, v in collate(batch).items() if isinstance(v, Tensor)}


def _captions_of(dataset: MultimodalDataset) -> list[_Caption]:
    """Return all captions of a split, also those of videos without features.

    Raises:
        DataError: the split has none, or lists one twice.
    """
    captions: dict[str, _Caption] = {}
    meta, processor = dataset.meta_processor, dataset.text_processor
    for index in range(len(meta)):
        video_id, text_id = meta[index]
        tokens = processor(text_id).cap
        for at, cap in enumerate(tokens, start=1):
            name = str(text_id) if len(tokens) == 1 else f"{text_id}#{at}"
            if name in captions:
                raise DataError(f"the split lists the caption {name!r} twice")
            captions[name] = _Caption(name, video_id, tuple(cap), _words(processor, cap))
    if not captions:
        raise DataError("the split has no caption")
    return list(captions.values())


def _words(processor: object, tokens: list[int]) -> str:
    if not isinstance(processor, _HasTokenizer):
        return ""
    words = str(processor.tokenizer.decode(tokens))
    return words if len(words) <= LONGEST_CAPTION else f"{words[: LONGEST_CAPTION - 1]}…"


def _first_rows(names: Any) -> dict[Any, int]:
    """Return the first row of each name."""
    rows: dict[Any, int] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, row)
    return rows
