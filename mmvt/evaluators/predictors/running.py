"""What predictors share: the entries of a split, and a model run over batches of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.distributed import in_turn, of_all
from mmvt.errors import ConfigError, DataError
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.model import MultimodalModel
from mmvt.processors.base import Example

V = TypeVar("V")


@dataclass(frozen=True)
class Entry:
    """One of what a split lists.

    Attributes:
        name: its text id, which is its id in the predictions.
        video_id: its video.
        text_id: its text.
        index: its example in the dataset; None = its video has no features.
    """

    name: str
    video_id: str
    text_id: Any
    index: int | None


def entries_of(dataset: MultimodalDataset) -> list[Entry]:
    """Return all that a split lists, also what its dataset has no features for.

    Raises:
        DataError: the split is empty.
    """
    missing, present = set(dataset.missing), itertools.count()
    entries = []
    for place in range(len(dataset.meta_processor)):
        video_id, text_id = dataset.meta_processor[place]
        index = None if video_id in missing else next(present)
        entries.append(Entry(str(text_id), video_id, text_id, index))
    if not entries:
        raise DataError("the split is empty")
    return entries


def batches_of(
    dataset: MultimodalDataset, entries: Iterable[Entry], size: int
) -> Iterator[list[tuple[Entry, Example]]]:
    """Yield the entries that have features with their examples, so many at once.

    Of several processes that evaluate together, each is given its batches, which are those of one
    alone; :func:`results_of_all` brings the results together.
    """
    there = [(entry, entry.index) for entry in entries if entry.index is not None]
    for first in in_turn(range(0, len(there), size)):
        yield [(entry, dataset[index]) for entry, index in there[first : first + size]]


def results_of_all(own: dict[str, V], entries: Iterable[Entry]) -> dict[str, V]:
    """Return what was found for each entry, by its name, by all processes together."""
    return of_all(own, (entry.name for entry in entries))


def outputs_of(model: MultimodalModel, batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return what a model in evaluation mode makes of a batch, on its device and in float32."""
    device = next(itertools.chain(model.parameters(), model.buffers())).device
    tensors = {key: v.to(device) for key, v in batch.items() if isinstance(v, Tensor)}
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        outputs: dict[str, Tensor] = model(**tensors)
    return outputs


def check_outputs(predictor: object, model: MultimodalModel, needed: Iterable[str]) -> None:
    """Raise unless the trunk and the head of a model produce what a predictor needs.

    Raises:
        ConfigError: naming what is absent, and what there is.
    """
    produced = (*type(model.trunk).produces, *type(model.head).produces)
    absent = [name for name in needed if name not in produced]
    if absent:
        raise ConfigError(
            f"{type(predictor).__name__} needs {' and '.join(absent)}, but "
            f"{type(model.trunk).__name__} and {type(model.head).__name__} produce "
            f"{', '.join(produced)}"
        )


def check_batch_size(batch_size: int) -> int:
    """Return a batch size.

    Raises:
        ConfigError: it is below 1.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}, but must be at least 1")
    return batch_size


def comparable(
    model: MultimodalModel, vectors: Float[Tensor, "rows hidden"]
) -> Float[Tensor, "rows hidden"]:
    """Return vectors scaled as the model's head scales the pooled ones they are compared with."""
    if isinstance(model.head, ContrastiveHead) and model.head.normalize:
        return F.normalize(vectors, dim=-1)
    return vectors
