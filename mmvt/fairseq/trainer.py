"""fairseq's trainer, with what falls short put right. Written against fairseq-fixed 0.12.3.1."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from fairseq.trainer import Trainer


class MultimodalTrainer(Trainer):
    """Differs from fairseq's trainer in three things.

    * The learning rate of an update in the warm-up counts that update: the first one is not zero.
    * Dropout differs between workers: it is drawn by (seed, update, rank).
    * Checkpoints are read with torch's safe loader; nothing but the ``argparse.Namespace`` of old
      fairseq checkpoints is allowed beside tensors and plain containers.
    """

    def _build_optimizer(self) -> None:
        super()._build_optimizer()
        self._lr_scheduler.step_update(self._scheduled_update())

    def lr_step_update(self) -> float:
        """Set the learning rate of the update to come, and return it."""
        updates: int = self._num_updates  # type: ignore[has-type]
        # the scheduler is asked for another update than the one that is logged and saved
        self._num_updates = self._scheduled_update()
        try:
            rate: float = super().lr_step_update()
        finally:
            self._num_updates = updates
        return rate

    def _scheduled_update(self) -> int:
        warmup = self.cfg.lr_scheduler.get("warmup_updates", 0)
        return self._num_updates + (1 if self._num_updates < warmup else 0)

    def _set_seed(self) -> None:
        seed = self.cfg.common.seed + self.get_num_updates()
        torch.manual_seed((seed << 16) + self.data_parallel_rank)

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Load a checkpoint on rank 0 and broadcast it; returns fairseq's extra state."""
        with torch.serialization.safe_globals([argparse.Namespace]):
            state: dict[str, Any] | None = super().load_checkpoint(*args, **kwargs)
        return state
