"""Trains a recipe through fairseq, in one process or as one of torchrun's."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fairseq_cli.train
import torch
from fairseq.data.iterators import BackgroundConsumer
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.distributed import utils as distributed_utils
from omegaconf import DictConfig, open_dict

from mmvt.checkpoint import load_safely
from mmvt.config.recipe import Recipe
from mmvt.errors import CheckpointError, ConfigError

# imported to register mmtask and the like; fairseq's --user-dir would do nothing by now
from mmvt.fairseq import arguments, criterion, fused_adam, loop, model, task  # noqa: F401
from mmvt.fairseq.observation import observed
from mmvt.fairseq.saving import LAST, alone, mend
from mmvt.fairseq.workers import meeting
from mmvt.redaction import redacted
from mmvt.stopping import StopRequest

logger = logging.getLogger(__name__)
# these print the whole configuration and a line a step of their own plumbing
_TALKATIVE = ("fairseq_cli.train", "fairseq.tasks.fairseq_task", "fairseq.data.iterators")


def train(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    trust_code: bool = False,
    stop: StopRequest | None = None,
) -> None:
    """Train the recipe of a task YAML until its last epoch or update; resume if it was begun.

    Args:
        path: the task YAML.
        overrides: ``key.sub=value`` arguments.
        trust_code: trust included files as well (see :mod:`mmvt.config.compose`).
        stop: asks the training to save and end.

    Raises:
        ConfigError: with every problem of the YAML, before data or device is touched.
        CheckpointError: the weights that it is to begin with are not there, unsafe, or do not fit.
        StoreError: another training is at work in the folder of the run.
        TrainingError: a loss is not finite, or another worker is gone.
        MMVTError: data is missing or wrong.
        SystemExit: with 143, when it was asked to stop and has saved.
    """
    overrides = [redacted(override) for override in overrides]  # checkpoints hold them
    recipe = Recipe.load(path, overrides, trust_code=trust_code)
    args = arguments.parse(recipe.fairseq, str(path), json.dumps(overrides), trust_code=trust_code)
    cfg = convert_namespace_to_omegaconf(args)
    _require_weights(cfg)
    join_workers(cfg)
    for name in _TALKATIVE if logger.getEffectiveLevel() > logging.DEBUG else ():
        logging.getLogger(name).setLevel(logging.WARNING)
    loop.install(stop or StopRequest())
    try:
        with ExitStack() as stack:
            first = cfg.distributed_training.distributed_rank == 0
            if first:  # the others wait for it at the meeting
                stack.enter_context(alone(Path(cfg.checkpoint.save_dir)))
            stack.enter_context(observed(cfg, recipe))
            if first:
                _check_checkpoints(cfg)
            stack.enter_context(meeting(cfg))
            distributed_utils.call_main(cfg, fairseq_cli.train.main)
    finally:
        stop_loading_ahead()


def _require_weights(cfg: DictConfig) -> None:
    """Raise if the weights that a run begins with are not there.

    fairseq would end in a traceback, or begin with others without a word.
    """
    options = cfg.checkpoint
    begun = any(Path(options.save_dir).glob("checkpoint*.pt"))
    named = {"finetune_from_model": None if begun else options.finetune_from_model}
    if options.restore_file != LAST:
        named["restore_file"] = options.restore_file
    for key, path in named.items():
        if path is not None and not Path(path).is_file():
            raise CheckpointError(
                f"fairseq.checkpoint.{key}: there is no checkpoint {path}; train the task that "
                "makes it first, or unset the key to begin with the weights of the YAML"
            )


def _check_checkpoints(cfg: DictConfig) -> None:
    """See to it that what a run goes on from can be loaded, and is safe.

    Raises:
        CheckpointError: it is torn, and there is no other; or it would run code.
    """
    options = cfg.checkpoint
    if options.restore_file == LAST:
        mend(Path(options.save_dir))
    else:
        load_safely(Path(options.restore_file), mapped=True)


def stop_loading_ahead() -> None:
    """End the threads in which fairseq loads batches that are no longer wanted.

    One that is busy when the interpreter ends aborts the process, when all its work is done.
    """
    for thread in threading.enumerate():
        if isinstance(thread, BackgroundConsumer):
            thread._max_len = 0
            while thread.is_alive():
                with contextlib.suppress(queue.Empty):
                    thread._queue.get_nowait()  # it may wait for room
                thread.join(0.01)


def join_workers(cfg: DictConfig) -> None:
    """Make fairseq one worker of the job that torchrun's environment describes.

    fairseq takes its world size from the number of GPUs: on a CPU, torchrun's N processes would be
    N trainings of their own that overwrite each other's checkpoints.

    Args:
        cfg: fairseq's configuration; its ``distributed_training`` is changed.

    Raises:
        ConfigError: fp16 is to be trained without a GPU.
    """
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    use_cuda = torch.cuda.is_available() and not cfg.common.cpu
    if cfg.common.fp16 and not use_cuda:  # fairseq asks for one at the first overflow
        raise ConfigError(
            "fairseq.common.fp16 needs a GPU; set fairseq.common.bf16=true instead, or neither"
        )
    settings: dict[str, Any] = {
        "distributed_world_size": workers,
        "distributed_rank": int(os.environ.get("RANK", "0")),
        "device_id": int(os.environ.get("LOCAL_RANK", "0")) if use_cuda else 0,
        "distributed_no_spawn": True,
        "distributed_backend": "nccl" if use_cuda else "gloo",
        "distributed_init_method": "env://" if workers > 1 else None,
    }
    if not use_cuda:
        settings["ddp_backend"] = "legacy_ddp"  # torch's wrapper is given a GPU's number by fairseq
    with open_dict(cfg.distributed_training):
        cfg.distributed_training.update(settings)
    logger.info("worker %d of %d", settings["distributed_rank"], workers)
