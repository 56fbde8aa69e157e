"""Guards what mmvt/fairseq relies on: fails when fairseq's own code changes.

On a failure, read what changed in fairseq and mmvt/fairseq beside docs/adr/0007, then renew the
digest.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from importlib.metadata import version

import fairseq_cli.train
import pytest
from fairseq import checkpoint_utils, options
from fairseq.data.iterators import BackgroundConsumer, EpochBatchIterator
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from fairseq.tasks import FairseqTask
from fairseq.trainer import Trainer

RELIED_ON: dict[Callable[..., object] | type, str] = {
    Trainer._build_optimizer: "a49af54c95d127e9",
    Trainer.lr_step_update: "18c85451355c1637",
    Trainer._set_seed: "231713ebb624ce42",
    Trainer.load_checkpoint: "128800d64185aede",
    fairseq_cli.train.main: "2a1b822cd8f53582",
    fairseq_cli.train.train: "db4e58992bbcd65a",
    fairseq_cli.train.validate_and_save: "55091327efc06093",
    fairseq_cli.train.validate: "7a721818350f1d06",
    checkpoint_utils.save_checkpoint: "61513534b9b33e6a",
    PathManager.copy: "1d3c09d3f1965527",
    Trainer.save_checkpoint: "46b39d54a4f75cc8",
    Trainer.train_step: "8cbf0406b1fe5093",
    Trainer.valid_step: "e53165a7b4786aad",
    Trainer._aggregate_logging_outputs: "525e3237868e982b",
    Trainer._fast_stat_sync_sum: "a0fbdc44331b7ac8",
    Trainer.clip_grad_norm: "637d588c4d2cdcd5",
    FairseqTask.optimizer_step: "883a909cb587861c",
    distributed_utils.get_global_group: "c0b3ba82905f272a",
    distributed_utils.distributed_init: "766a47046fcaf6df",
    distributed_utils.call_main: "c2a32fa44fa277a6",
    distributed_utils.distributed_main: "2392721959252106",
    options.parse_args_and_arch: "535ef04316810361",
    checkpoint_utils.load_checkpoint_to_cpu: "96f7d33cde8e1582",
    Trainer.get_train_iterator: "aa4fd14cf2924782",
    Trainer.state_dict: "926c314f7f5545b4",
    FairseqTask.get_batch_iterator: "f92ef89258f5b6f1",
    checkpoint_utils.load_checkpoint: "08e4fa03a2ab86a9",
    BackgroundConsumer: "08fbef31dfd510c6",
    EpochBatchIterator: "a8432ac2414c26eb",
}


@pytest.mark.parametrize("code", RELIED_ON, ids=lambda code: code.__qualname__)
def test_what_is_replaced_or_relied_on_is_as_it_was(code: Callable[..., object] | type):
    digest = hashlib.sha256(inspect.getsource(code).encode()).hexdigest()[:16]
    assert digest == RELIED_ON[code], f"fairseq's {code.__qualname__} changed"


def test_the_distribution_is_the_one_that_was_read():
    assert version("fairseq-fixed") == "0.12.3.1"
