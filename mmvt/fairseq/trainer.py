"""fairseq's trainer, with what falls short put right. Written against fairseq-fixed 0.12.3.1."""

from __future__ import annotations

import argparse
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data.iterators import EpochBatchIterator
from fairseq.distributed import utils as distributed_utils
from fairseq.trainer import Trainer
from omegaconf import DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata
from omegaconf.nodes import AnyNode

from mmvt.errors import CheckpointError
from mmvt.fairseq.dataset import shares
from mmvt.tasks.task import Epoch

_READ: list[Any] = [argparse.Namespace]
# rank 0 makes an OmegaConf of the configuration in a checkpoint, and sends all of it on
_RECEIVED = [DictConfig, ListConfig, AnyNode, ContainerMetadata, Metadata, Any]
_RECEIVED += [defaultdict, dict, list, int, distributed_utils._TensorPlaceholder]


class MultimodalTrainer(Trainer):
    """Differs from fairseq's trainer in four things.

    * The batches of an epoch are those of the recipe's task. A checkpoint holds a digest of them:
      an epoch that was stopped half-way goes on with the same batches, or not at all.
    * The learning rate of an update in the warm-up counts that update: the first one is not zero.
    * Dropout differs between workers: it is drawn by (seed, update, rank).
    * Checkpoints are read with torch's safe loader; nothing but the ``argparse.Namespace`` of old
      fairseq checkpoints is allowed beside tensors and plain containers. Workers that read no file
      also take the configuration that rank 0 made of it; else none of them could resume.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: dict[int, str | None] = {}  # digest of the epoch that was stopped half-way
        self._digest: str | None = None

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

    def get_train_iterator(self, epoch: int, *args: Any, **kwargs: Any) -> EpochBatchIterator:
        """Return the batches of an epoch, made with the weights of this moment.

        Raises:
            CheckpointError: the epoch was begun with other batches.
        """
        self.task.load_dataset(self.cfg.dataset.train_subset)
        if not 0 < self.cfg.optimization.max_epoch < epoch:  # fairseq asks once too often
            self._make_batches(epoch)
        return super().get_train_iterator(epoch, *args, **kwargs)

    def _make_batches(self, epoch: int) -> None:
        options, workers = self.cfg.dataset, self.data_parallel_world_size
        served = self.task.dataset(options.train_subset)
        served.set_epoch(epoch)
        batches = self.task.task.batches(
            Epoch(
                number=epoch,
                dataset=served.dataset,
                batch_size=options.batch_size or options.max_tokens,
                workers=workers,
                rank=self.data_parallel_rank,
                model=self.get_model().mmmodel,
                folder=Path(self.cfg.checkpoint.save_dir),
                resumed=epoch in self._begun,
                loaders=options.num_workers,
            )
        )
        self._digest = _digest(batches)
        if self._begun.get(epoch) not in (None, self._digest):
            raise CheckpointError(
                f"{self.cfg.checkpoint.save_dir}: epoch {epoch} was begun with other batches; "
                "resume it with the same data, seed, task and fairseq.dataset.batch_size × workers"
            )
        served.batches = shares(batches, workers)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a checkpoint holds."""
        state: dict[str, Any] = super().state_dict()
        state["extra_state"]["batches"] = self._digest
        return state

    def load_checkpoint(self, filename: Any, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Load a checkpoint on rank 0 and broadcast it; returns fairseq's extra state."""
        allowed = _READ if self.is_data_parallel_master else [*_READ, *_RECEIVED]
        with torch.serialization.safe_globals(allowed):
            state: dict[str, Any] | None = super().load_checkpoint(filename, *args, **kwargs)
        options = self.cfg.checkpoint
        goes_on = not options.reset_dataloader and filename != options.finetune_from_model
        if state is not None and goes_on and state["train_iterator"]["iterations_in_epoch"] > 0:
            self._begun = {state["train_iterator"]["epoch"]: state.get("batches")}
        return state


def _digest(batches: Sequence[np.ndarray]) -> str:
    """Return what tells the batches of all workers from others."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(len(batch).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(batch, "<i8").tobytes())
    return digest.hexdigest()
