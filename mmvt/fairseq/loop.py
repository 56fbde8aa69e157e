"""What stands in for parts of fairseq's training loop: how it begins, saves and ends.

Written against fairseq-fixed 0.12.3.1.
"""

from __future__ import annotations

import functools
import logging
import math
from pathlib import Path
from typing import Any

import fairseq_cli.train
import torch.distributed as dist
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from omegaconf import DictConfig
from typing_extensions import override

from mmvt.fairseq.saving import LAST, copy_checkpoint
from mmvt.fairseq.trainer import MultimodalTrainer, ValidationStopped
from mmvt.stopping import StopRequest

logger = logging.getLogger(__name__)

_train = fairseq_cli.train.train
_validate_and_save = fairseq_cli.train.validate_and_save


def install(stop: StopRequest) -> None:
    """Have fairseq's main, which looks these up by name, take ours.

    Args:
        stop: asks the training to stop.
    """
    fairseq_cli.train.Trainer = functools.partial(MultimodalTrainer, stop=stop)
    fairseq_cli.train.train = train
    fairseq_cli.train.validate_and_save = validate_and_save
    checkpoint_utils.PathManager = CheckpointPaths


class CheckpointPaths(PathManager):
    """Copies checkpoints whole or not at all."""

    @staticmethod
    @override
    def copy(src_path: str, dst_path: str, overwrite: bool = False) -> bool:
        """Copy a checkpoint that was just written, unless it has that name already."""
        if Path(dst_path).name != LAST:  # which was written first
            copy_checkpoint(Path(src_path), Path(dst_path))
        return True


def train(cfg: DictConfig, trainer: MultimodalTrainer, task: Any, epoch_itr: Any) -> Any:
    """Train an epoch, unless all updates are made: fairseq would make one more in each session."""
    if trainer.get_num_updates() >= (cfg.optimization.max_update or math.inf):
        logger.info("all %d updates are made", trainer.get_num_updates())
        return [None], True
    return _train(cfg, trainer, task, epoch_itr)


def validate_and_save(
    cfg: DictConfig,
    trainer: MultimodalTrainer,
    task: Any,
    epoch_itr: Any,
    valid_subsets: list[str],
    end_of_epoch: bool,
) -> Any:
    """Do as fairseq after an update; or save and end the process, where the run is to stop.

    Raises:
        SystemExit: with 143, when all is saved.
    """
    try:
        if not trainer.stopping:
            return _validate_and_save(cfg, trainer, task, epoch_itr, valid_subsets, end_of_epoch)
    except ValidationStopped:
        logger.info("validation is left: the run is to stop")
    checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
    if dist.is_initialized():
        dist.barrier()  # a worker that ends while rank 0 writes would have it killed
    if cfg.checkpoint.no_save or cfg.checkpoint.no_last_checkpoints:
        logger.warning("stopped by SIGTERM; fairseq.checkpoint keeps it from being saved")
    else:
        logger.info("stopped by SIGTERM, and saved; run it again to go on")
        trainer.stop.note_saved()
    raise SystemExit(trainer.stop.exit_code)
