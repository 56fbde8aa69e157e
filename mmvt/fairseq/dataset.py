"""fairseq's view of a multimodal dataset."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np
from fairseq.data import FairseqDataset
from torch.utils.data import get_worker_info

from mmvt.datasets.batches import ClipBatches
from mmvt.datasets.multimodal import MultimodalDataset, collate


class FairseqMultimodalDataset(FairseqDataset):
    """Serves a dataset to fairseq.

    Args:
        dataset: what to serve.
        clips: makes whole batches of it at once; None = examples are made one by one.

    Attributes:
        batches: those of the epoch, the shares of all workers in turn; None = the examples as they
            come, cut by fairseq.
    """

    def __init__(self, dataset: MultimodalDataset, clips: ClipBatches | None = None) -> None:
        self.dataset = dataset
        self._clips = clips
        self.batches: list[np.ndarray] | None = None

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """False where batches are drawn anew: a reused iterator would repeat its batches."""
        return self.batches is None

    def set_epoch(self, epoch: int) -> None:
        """Draw examples for ``epoch`` (1-based)."""
        self.dataset.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        return self.dataset[int(index)]

    def __getitems__(self, indices: Iterable[SupportsIndex]) -> list[dict[str, Any]]:
        """Return examples, or all of them as one batch; torch's loaders ask for this first."""
        if get_worker_info() is not None:
            # sent to all processes of a job; the one that trains still needs this one, and ends it
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self._clips is not None:
            return [self._clips(np.array([int(index) for index in indices], np.int64))]
        return [self.dataset[int(index)] for index in indices]

    def collater(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch; fairseq asks for an empty one where a worker has nothing to do."""
        if len(samples) == 1 and "video_rows" in samples[0]:
            return samples[0]  # a whole batch
        return collate(samples) if samples else {}

    def ordered_indices(self) -> np.ndarray:
        """Return the examples as they come."""
        return np.arange(len(self), dtype=np.int64)

    def batch_by_size(self, indices: np.ndarray, **sizes: Any) -> Sequence[np.ndarray]:
        """Return the batches of the epoch; fairseq deals them out to the workers in turn."""
        if self.batches is not None:
            return self.batches
        batches: Sequence[np.ndarray] = super().batch_by_size(indices, **sizes)
        return batches

    def num_tokens(self, index: SupportsIndex) -> int:
        """Return 1: batches are counted in examples."""
        return 1

    def size(self, index: SupportsIndex) -> int:
        """Return 1: no example is too long, layouts cut to size."""
        return 1


def shares(batches: Sequence[np.ndarray], workers: int) -> list[np.ndarray]:
    """Return what each worker takes of each batch: all shares of one batch, then of the next.

    The shares of a batch differ by one example at most. A batch of fewer examples than workers is
    filled up with the first examples of the epoch: fairseq would have a worker without examples
    repeat an old batch, whose rows would be negatives of the others where negatives are shared.
    """
    order = np.concatenate(batches)
    filled = [
        np.concatenate([batch, np.resize(order, max(0, workers - len(batch)))]) for batch in batches
    ]
    return [share for batch in filled for share in np.array_split(batch, workers)]
