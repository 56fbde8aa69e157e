"""Watches the losses of training: one that is no finite number is no ground to go on from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmvt.errors import TrainingError
from mmvt.files import atomic_write_json

logger = logging.getLogger(__name__)

FOLDER = "nonfinite_loss"


class LossGuard:
    """Keeps the losses of an update with the videos behind them, and counts bad updates.

    Args:
        folder: of the run; ids of bad batches go to ``nonfinite_loss`` in it.
        worker: rank of this worker.
        most: bad updates in a row that end the run.
    """

    def __init__(self, folder: Path, worker: int, most: int) -> None:
        self.folder, self.worker, self.most = folder / FOLDER, worker, most
        self._seen: list[tuple[Tensor, Sequence[str]]] = []
        self._in_a_row = 0

    def begin(self) -> None:
        """Forget the losses of the update before."""
        self._seen.clear()

    def see(self, loss: Tensor, video_ids: Sequence[str]) -> None:
        """Take note of the loss of a batch of this worker."""
        self._seen.append((loss.detach(), video_ids))

    def bad(self) -> bool:
        """Return whether a loss of this worker, in this update, is no finite number."""
        return any(not loss.isfinite() for loss, _ in self._seen)

    def accept(self) -> None:
        """Take note that the update was good."""
        self._in_a_row = 0

    def refuse(self, update: int, about: dict[str, Any]) -> None:
        """Write down what this worker's batches were, and raise if it was once too often.

        Args:
            update: the number of the update, from 1.
            about: what else is written.

        Raises:
            TrainingError: naming the file.
        """
        self._in_a_row += 1
        path = self.folder / f"update_{update:08d}_worker_{self.worker}.json"
        batches = [{"loss": str(float(loss)), "video_ids": list(ids)} for loss, ids in self._seen]
        atomic_write_json(
            path, {"update": update, "worker": self.worker, **about, "batches": batches}
        )
        whose = "the loss" if self.bad() else "a gradient, or the loss of another worker,"
        text = f"{whose} of update {update} is not finite; the videos of this worker are in {path}"
        if self._in_a_row >= self.most:
            raise TrainingError(
                f"{text}; the last checkpoint is from before it (fairseq.optimization."
                f"most_bad_losses: {self.most})"
            )
        logger.warning("%s; the update is left out", text)
