"""fairseq's view of a recipe: the task ``mmtask``.

fairseq reads the types of a dataclass's fields, so annotations are not postponed in this file.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq.data.iterators import EpochBatchIterator
from fairseq.dataclass import FairseqDataclass
from fairseq.tasks import FairseqTask, register_task
from omegaconf import MISSING, DictConfig

from mmvt.config.recipe import Recipe
from mmvt.datasets.batches import ClipBatches
from mmvt.fairseq.dataset import FairseqMultimodalDataset
from mmvt.tasks.task import Task


@dataclass
class MMTaskConfig(FairseqDataclass):
    """Options of ``mmtask``."""

    recipe: str = field(default=MISSING, metadata={"help": "task YAML"})
    overrides: str = field(default="[]", metadata={"help": "JSON list of key.sub=value"})
    trust_code: bool = field(default=False, metadata={"help": "trust included files as well"})
    most_bad_losses: int = field(
        default=1, metadata={"help": "updates in a row with a loss that is not finite end the run"}
    )
    worker_timeout: float = field(
        default=1800.0, metadata={"help": "seconds in which a worker must answer the others"}
    )
    # persistent workers would keep the first epoch's copy of the dataset, and repeat its draws
    reuse_dataloader: bool = field(default=False, metadata={"help": "leave off"})
    persistent_workers: bool = field(default=False, metadata={"help": "leave off"})


@register_task("mmtask", dataclass=MMTaskConfig)
class FairseqMultimodalTask(FairseqTask):
    """Builds datasets of a recipe and hands batches to its task.

    Attributes:
        leaves_out_update: the update at work changes no weights.
    """

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg)
        self.recipe = Recipe.load(
            Path(cfg.recipe), json.loads(cfg.overrides), trust_code=cfg.trust_code
        )
        self.task = self.recipe.task()
        self.leaves_out_update = False

    def load_dataset(self, split: str, *_: Any, **__: Any) -> None:
        """Load a split once; fairseq asks again every epoch."""
        if split not in self.datasets:
            dataset = self.recipe.dataset(split)
            # a task that arranges the examples of a video in its own way needs them apart
            plain = type(self.task).flatten is Task.flatten
            clips = ClipBatches.of(dataset) if plain else None
            self.datasets[split] = FairseqMultimodalDataset(dataset, clips)

    def get_batch_iterator(self, *args: Any, **kwargs: Any) -> EpochBatchIterator:
        """Return an iterator over the batches of a dataset that keeps to their order."""
        iterator: EpochBatchIterator = super().get_batch_iterator(*args, **kwargs)
        iterator.disable_shuffling = True
        return iterator

    def optimizer_step(self, optimizer: Any, model: Any, update_num: int) -> None:
        """Change the weights, unless the update is left out."""
        if self.leaves_out_update:
            self.leaves_out_update = False
        else:
            super().optimizer_step(optimizer, model, update_num)

    def max_positions(self) -> None:
        """Return None: layouts cut examples to size."""
        return
