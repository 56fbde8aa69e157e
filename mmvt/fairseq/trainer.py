"""fairseq's trainer, with what falls short put right. Written against fairseq-fixed 0.12.3.1."""

from __future__ import annotations

import argparse
import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data.iterators import EpochBatchIterator
from fairseq.distributed import utils as distributed_utils
from fairseq.trainer import Trainer
from fairseq.utils import move_to_cpu
from omegaconf import DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata
from omegaconf.nodes import AnyNode
from torch import Tensor

from mmvt.checkpoint import FAIRSEQ_PREFIX, load_state
from mmvt.errors import CheckpointError
from mmvt.fairseq.dataset import shares
from mmvt.fairseq.guard import LossGuard
from mmvt.fairseq.saving import write_checkpoint
from mmvt.fairseq.throughput import TimedBatchIterator
from mmvt.stopping import StopRequest
from mmvt.tasks.task import Epoch

logger = logging.getLogger(__name__)

_READ: list[Any] = [argparse.Namespace]
# rank 0 makes an OmegaConf of the configuration in a checkpoint, and sends all of it on
_RECEIVED = [DictConfig, ListConfig, AnyNode, ContainerMetadata, Metadata, Any]
_RECEIVED += [defaultdict, dict, list, int, distributed_utils._TensorPlaceholder]


class ValidationStopped(Exception):  # noqa: N818  # no error
    """The run is to stop, which cannot wait for the end of validation."""


class MultimodalTrainer(Trainer):
    """Differs from fairseq's trainer in seven things.

    * The batches of an epoch are those of the recipe's task. A checkpoint holds a digest of them:
      an epoch that was stopped half-way goes on with the same batches, or not at all.
    * The learning rate of an update in the warm-up counts that update: the first one is not zero.
    * Dropout differs between workers: it is drawn by (seed, update, rank).
    * Checkpoints are read with torch's safe loader; nothing but the ``argparse.Namespace`` of old
      fairseq checkpoints is allowed beside tensors and plain containers. Workers that read no file
      also take the configuration that rank 0 made of it; else none of them could resume.
    * Checkpoints are written whole or not at all, ``checkpoint_last.pt`` first; and only those that
      a run can go on from.
    * A loss or a gradient that is not finite ends the run on all workers at the same update, or the
      update is left out on all of them.
    * Workers agree at every update whether one of them was asked to stop.

    Args:
        *args: fairseq's.
        stop: asks the run to stop.
        **kwargs: fairseq's.
    """

    def __init__(self, *args: Any, stop: StopRequest | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stop = stop or StopRequest()
        self._asked_to_stop = self._others_loss_is_bad = False
        self.guard = LossGuard(
            Path(self.cfg.checkpoint.save_dir),
            self.data_parallel_rank,
            self.cfg.task.most_bad_losses,
        )
        self.get_criterion().guard = self.guard
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

    @property
    def stopping(self) -> bool:
        """Whether one of the workers was asked to stop, as all of them knew at the last update."""
        if self.data_parallel_world_size > 1:
            return self._asked_to_stop
        return self.stop.received

    def train_step(self, samples: Any, raise_oom: bool = False) -> Any:
        """Make an update.

        Raises:
            TrainingError: a loss or a gradient is not finite, too often in a row.
        """
        self.guard.begin()
        return super().train_step(samples, raise_oom)

    def valid_step(self, sample: Any, raise_oom: bool = False) -> Any:
        """Validate a batch.

        Raises:
            ValidationStopped: the run is to stop.
        """
        output = super().valid_step(sample, raise_oom)
        if self.stopping:
            raise ValidationStopped
        return output

    def _aggregate_logging_outputs(
        self, logging_outputs: list[dict[str, Any]], *sums: Any, ignore: bool = False
    ) -> Any:
        outputs, (*sums, stop, bad) = super()._aggregate_logging_outputs(
            logging_outputs,
            *sums,
            float(self.stop.received),
            float(self.guard.bad()),
            ignore=ignore,
        )
        self._asked_to_stop = bool(self._asked_to_stop or stop > 0)
        self._others_loss_is_bad = bool(bad > 0)
        return outputs, sums

    def clip_grad_norm(self, clip_norm: float) -> Tensor:
        """Clip the gradients of the update and return their norm.

        Raises:
            TrainingError: a loss or a gradient is not finite, too often in a row.
        """
        loss_is_bad = self.guard.bad() or self._others_loss_is_bad
        if not loss_is_bad:
            norm: Tensor = super().clip_grad_norm(clip_norm)
            if self.cfg.common.amp or norm.isfinite().all():  # amp tries a smaller scale
                self.guard.accept()
                return norm
        self.guard.refuse(self.get_num_updates() + 1, {"learning_rate": self.get_lr()})
        self.zero_grad()
        self.task.leaves_out_update = True
        return torch.zeros((), device=self.device)

    def get_train_iterator(self, epoch: int, *args: Any, **kwargs: Any) -> EpochBatchIterator:
        """Return the batches of an epoch, made with the weights of this moment.

        Raises:
            CheckpointError: the epoch was begun with other batches.
        """
        self.task.load_dataset(self.cfg.dataset.train_subset)
        if not 0 < self.cfg.optimization.max_epoch < epoch:  # fairseq asks once too often
            self._make_batches(epoch)
        return TimedBatchIterator.of(super().get_train_iterator(epoch, *args, **kwargs))

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

    def save_checkpoint(self, filename: str, extra_state: dict[str, Any]) -> str | None:
        """Write a checkpoint and return its path, on the worker that writes them.

        Of one without a place in the data, as fairseq writes them after an error, nothing is
        written: a run cannot go on from it.
        """
        if not self.should_save_checkpoint_on_current_rank or "train_iterator" not in extra_state:
            return None
        state = move_to_cpu(self.state_dict())
        state["extra_state"].update(extra_state)
        path = Path(filename).absolute()
        write_checkpoint(state, path, last=not self.cfg.checkpoint.no_last_checkpoints)
        return str(path)

    def load_checkpoint(self, filename: Any, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Load a checkpoint on rank 0 and broadcast it; returns fairseq's extra state.

        Weights that a run begins with are read by every worker, and nothing but the weights.

        Raises:
            CheckpointError: the weights are unsafe, torn, or do not fit.
        """
        if filename == self.cfg.checkpoint.finetune_from_model:
            self._load_weights(Path(filename))
            return None
        allowed = _READ if self.is_data_parallel_master else [*_READ, *_RECEIVED]
        with torch.serialization.safe_globals(allowed):
            state: dict[str, Any] | None = self._load_all(filename, *args, **kwargs)
        goes_on = not self.cfg.checkpoint.reset_dataloader
        if state is not None and goes_on and state["train_iterator"]["iterations_in_epoch"] > 0:
            self._begun = {state["train_iterator"]["epoch"]: state.get("batches")}
        return state

    def _load_all(self, filename: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().load_checkpoint(filename, *args, **kwargs)
        except Exception as error:
            # fairseq says of all errors alike that the architectures do not match
            if isinstance(error.__context__, CheckpointError):
                raise CheckpointError(f"{filename}: {error.__context__}") from error
            raise

    def _load_weights(self, path: Path) -> None:
        weights = {FAIRSEQ_PREFIX + key: value for key, value in load_state(path).items()}
        try:
            self.get_model().load_state_dict(weights)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        logger.info("began with the weights of %s", path)


def _digest(batches: Sequence[np.ndarray]) -> str:
    """Return what tells the batches of all workers from others."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(len(batch).to_bytes(8, "little"))
        digest.update(np.ascontiguousarray(batch, "<i8").tobytes())
    return digest.hexdigest()
