"""Classes that no model was trained for, told by the texts of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.errors import ConfigError
from mmvt.evaluators.predictors.running import outputs_of
from mmvt.models.model import MultimodalModel
from mmvt.processors.base import Layout


@runtime_checkable
class HasLabels(Protocol):
    """A text processor that knows the texts of all labels."""

    def label_tokens(self) -> list[list[int]]:
        """Return the token ids of each label's text, in order of their numbers."""


def label_vectors(
    model: MultimodalModel, dataset: MultimodalDataset, layout: Layout, batch_size: int
) -> Float[Tensor, "labels hidden"]:
    """Return the vectors of the labels' texts.

    Raises:
        ConfigError: the text processor of the dataset knows no labels.
    """
    processor = dataset.text_processor
    if not isinstance(processor, HasLabels):
        raise ConfigError(
            f"{type(processor).__name__} has no texts of labels, by which classes are told "
            "that no model was trained for"
        )
    return text_vectors(model, dataset, layout, processor.label_tokens(), batch_size)


def text_vectors(
    model: MultimodalModel,
    dataset: MultimodalDataset,
    layout: Layout,
    texts: Sequence[list[int]],
    batch_size: int,
) -> Float[Tensor, "texts hidden"]:
    """Return the pooled vectors of texts; a step of the first video, beside them, is not seen."""
    step = dataset.video_processor(dataset.ids_of(0)[0])[:1]
    examples = [layout(step, tokens) for tokens in texts]
    groups = (examples[first : first + batch_size] for first in range(0, len(examples), batch_size))
    vectors = [outputs_of(model, collate(group))["pooled_text"] for group in groups]
    return torch.cat(vectors).float()
