"""The contract of tasks: which examples make a batch, and what happens to it up to the loss."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from mmvt.datasets.batches import unpacked
from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.losses.base import Loss
from mmvt.models.base import consumed_ports
from mmvt.models.model import MultimodalModel


@dataclass(frozen=True)
class Epoch:
    """An epoch of training, before its first step or, where it was begun earlier, a later one.

    Attributes:
        number: 1-based.
        dataset: the training examples, drawn as in this epoch.
        batch_size: examples that one worker takes in a step.
        workers: number of processes that train together.
        rank: which of them this is, from 0.
        model: with the weights of the step to come.
        folder: of the run.
        resumed: some steps of the epoch were made before the run was stopped.
        loaders: processes that load examples for each worker; 0 = none but the worker itself.
    """

    number: int
    dataset: MultimodalDataset
    batch_size: int
    workers: int
    rank: int
    model: MultimodalModel
    folder: Path
    resumed: bool = False
    loaders: int = 0


class Task:
    """Runs model and loss on a batch.

    Args:
        subsampling: examples that the aligner draws of one video; their dimension is merged into
            the batch before the model sees it.
        seed: the run's seed.
    """

    def __init__(self, *, subsampling: int = 1, seed: int = 1) -> None:
        self.subsampling = subsampling
        self.seed = seed

    def batches(self, epoch: Epoch) -> list[np.ndarray]:
        """Return the examples of each step of an epoch: those of all workers together.

        Every worker gets the same list, and takes its share of each entry. The list depends on the
        product of ``batch_size`` and ``workers`` alone, and is the same where an epoch is resumed.
        """
        order = np.random.default_rng([self.seed, epoch.number]).permutation(len(epoch.dataset))
        step = epoch.batch_size * epoch.workers
        return np.split(order, range(step, len(order), step))

    def flatten(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the batch with (B, s, …) tensors as (B·s, …); ``index`` stays one a video.

        An aligner of evaluation draws one example a video: such a batch has no s to merge. The
        tensors given are not changed.
        """
        masks = batch.get("vmasks")
        if self.subsampling == 1 or masks is None or masks.dim() == 2:
            return dict(batch)
        return {
            key: value.flatten(0, 1) if isinstance(value, Tensor) and key != "index" else value
            for key, value in batch.items()
        }

    def compute(
        self, model: nn.Module, loss: Loss, batch: Mapping[str, Any]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return (loss, outputs of the model) of a batch as it comes from the dataset.

        Args:
            model: a :class:`~mmvt.models.model.MultimodalModel`, or what wraps one for training.
            loss: what is trained for.
            batch: the wire keys, and ids as lists.
        """
        padded = unpacked(batch)
        flat = self.flatten({**padded, **video_keys(padded)})
        outputs = model(**{key: value for key, value in flat.items() if isinstance(value, Tensor)})
        values = {**flat, **outputs}
        required, optional = consumed_ports(loss)
        ports = [*required, *(name for name in optional if name in values)]
        return loss(**{name: values[name] for name in ports}), outputs


def video_keys(batch: Mapping[str, Any]) -> dict[str, Int[Tensor, "..."]]:
    """Return ``video_key``: a number an example, by which tensors can tell equal videos.

    It depends on ``video_id`` alone, so that it is the same on every worker. A batch whose examples
    are the windows of a video has none.
    """
    ids, masks = batch.get("video_id"), batch.get("vmasks")
    if ids is None or masks is None or len(ids) != len(masks):
        return {}
    digests = [hashlib.blake2b(video.encode(), digest_size=8).digest() for video in ids]
    numbers = [int.from_bytes(digest, "big", signed=True) for digest in digests]
    keys = torch.tensor(numbers, dtype=torch.long, device=masks.device)
    # one more dimension where several examples are drawn of each video
    return {"video_key": keys if masks.dim() == 2 else keys[:, None].expand(masks.shape[:2])}
