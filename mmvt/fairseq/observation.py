"""What a training leaves for people to see: its configuration, record, log and curves."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from omegaconf import DictConfig, open_dict

from mmvt import run_record
from mmvt.config.merge import to_yaml
from mmvt.config.recipe import Recipe
from mmvt.files import atomic_write_text
from mmvt.redaction import RedactingFormatter

logger = logging.getLogger(__name__)

CONFIG, LOG, TENSORBOARD = "config.yaml", "train.log", "tensorboard"


@contextmanager
def observed(cfg: DictConfig, recipe: Recipe) -> Iterator[None]:
    """Have rank 0 write down in the folder of the run what it is, what it says, and how it ends.

    Args:
        cfg: fairseq's configuration; curves go to ``tensorboard`` in the run unless it names a
            folder, and wandb is left out where it is not installed.
        recipe: the task.
    """
    if cfg.distributed_training.distributed_rank != 0:
        yield
        return
    folder = Path(cfg.checkpoint.save_dir)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / CONFIG, to_yaml(recipe.layer.data))
    log = logging.FileHandler(folder / LOG, encoding="utf-8")
    log.setFormatter(RedactingFormatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
    logging.getLogger().addHandler(log)
    choose_boards(cfg, folder)
    record = run_record.begin(
        folder,
        task=recipe.path,
        seed=recipe.seed,
        workers=cfg.distributed_training.distributed_world_size,
        gpus=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    )
    outcome, error = run_record.FAILED, None
    try:
        yield
        outcome = run_record.FINISHED
    except KeyboardInterrupt:
        outcome = run_record.STOPPED
        raise
    except SystemExit as stop:
        outcome = _outcome(stop.code)
        raise
    except BaseException as failure:
        error = failure
        logger.error("the run failed: %s", failure)
        raise
    finally:
        run_record.end(folder, record, outcome, error)
        logging.getLogger().removeHandler(log)
        log.close()


def _outcome(code: object) -> str:
    """Return how a run ended that chose an exit code itself."""
    if code in (None, 0):
        return run_record.FINISHED
    by_signal = isinstance(code, int) and code > 128
    return run_record.STOPPED if by_signal else run_record.FAILED


def choose_boards(cfg: DictConfig, folder: Path) -> None:
    """Choose where curves go besides the log.

    Args:
        cfg: fairseq's configuration; ``common`` is changed.
        folder: of the run.
    """
    with open_dict(cfg.common):
        if cfg.common.tensorboard_logdir is None:
            cfg.common.tensorboard_logdir = str(folder / TENSORBOARD)
        if cfg.common.wandb_project and importlib.util.find_spec("wandb") is None:
            logger.warning(
                "wandb is not installed: the curves go to TensorBoard alone (%s); to have both, "
                "run: pip install wandb",
                cfg.common.tensorboard_logdir,
            )
            cfg.common.wandb_project = None
