"""fairseq's view of a multimodal dataset."""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
from fairseq.data import FairseqDataset

from mmvt.datasets.multimodal import MultimodalDataset, collate


class FairseqMultimodalDataset(FairseqDataset):
    """Serves a dataset to fairseq, in an order that is a pure function of seed and epoch.

    Args:
        dataset: what to serve.
        seed: the run's seed.
        shuffle: draw a new order every epoch; else examples come in theirs.
    """

    def __init__(self, dataset: MultimodalDataset, seed: int, *, shuffle: bool) -> None:
        self.dataset, self.seed, self.shuffle = dataset, seed, shuffle
        self.epoch = 1

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """False where batches are drawn anew: a reused iterator would repeat its batches."""
        return not self.shuffle

    def set_epoch(self, epoch: int) -> None:
        """Draw order and examples for ``epoch`` (1-based)."""
        self.epoch = epoch
        self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        return self.dataset[int(index)]

    def collater(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch; fairseq asks for an empty one where a worker has nothing to do."""
        return collate(samples) if samples else {}

    def ordered_indices(self) -> np.ndarray:
        """Return the order of the epoch's examples."""
        if not self.shuffle:
            return np.arange(len(self), dtype=np.int64)
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self))

    def num_tokens(self, index: SupportsIndex) -> int:
        """Return 1: batches are counted in examples."""
        return 1

    def size(self, index: SupportsIndex) -> int:
        """Return 1: no example is too long, layouts cut to size."""
        return 1
