"""The workers of a training, which wait for one another, but not for ever."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from fairseq.distributed import utils as distributed_utils
from omegaconf import DictConfig

from mmvt.errors import TrainingError

# what gloo says when another process is gone or silent
_GONE = re.compile(r"gloo|Connection (closed|reset|refused)|Timed out|Broken pipe", re.IGNORECASE)


@contextmanager
def meeting(cfg: DictConfig) -> Iterator[None]:
    """Be one of several workers while the block runs; of one alone, do nothing.

    torch waits half an hour for a worker unless told otherwise, which fairseq does not.

    Args:
        cfg: fairseq's configuration, in which the workers are those of torchrun.

    Raises:
        TrainingError: another worker has ended, or has not answered for ``worker_timeout`` seconds.
    """
    options = cfg.distributed_training
    rank = options.distributed_rank
    if options.distributed_world_size == 1:
        yield
        return
    patience = timedelta(seconds=cfg.task.worker_timeout)
    if options.distributed_backend == "nccl":
        torch.cuda.set_device(options.device_id)
    try:
        dist.init_process_group(
            options.distributed_backend,
            init_method=options.distributed_init_method,
            world_size=options.distributed_world_size,
            rank=rank,
            timeout=patience,
        )
        # fairseq keeps a group of its own there, which would wait for half an hour again
        distributed_utils.get_global_group._global_group = dist.new_group(timeout=patience)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Distributed is already initialized")
            yield
    except (dist.DistError, RuntimeError) as error:
        if not isinstance(error, dist.DistError) and not _GONE.search(str(error)):
            raise
        raise TrainingError(
            f"worker {rank}: another worker has ended, or has not answered for "
            f"{cfg.task.worker_timeout:g} s (fairseq.distributed_training.worker_timeout); its own "
            f"error says why: {str(error).splitlines()[0]}"
        ) from error
    dist.destroy_process_group()
