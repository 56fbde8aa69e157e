"""Retrieval-augmented training: a batch is a group of videos that the model finds alike."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from typing_extensions import override

from mmvt.datasets.multimodal import collate
from mmvt.errors import ConfigError, DataError
from mmvt.models.model import MultimodalModel
from mmvt.retrieval.groups import nearest_groups, random_groups, read_groups, write_groups
from mmvt.retrieval.pool import VectorPool
from mmvt.tasks.task import Epoch, Task

logger = logging.getLogger(__name__)

POOLED = ("pooled_video", "pooled_text")


class RetrievalTask(Task):
    """Trains on groups of videos that are near to one another, so that negatives are hard.

    An epoch is a sequence of groups. Before ``retri_epoch`` they are random. From then on every
    epoch begins with a pass over all training videos: their vectors are made with the weights of
    that moment, one video in ``num_video_per_batch`` is a centre, and its group is drawn from the
    ``num_cands`` videos nearest to it. So an epoch draws as many videos as there are, some of them
    more than once and some not at all.

    A step takes the next ``fairseq.dataset.batch_size`` × workers videos of the sequence, which is
    one group or several, and worker r the r-th share of them. With a ``batch_size`` of
    ``num_video_per_batch`` every worker has a group of its own, as in the paper; 2 workers with
    a ``batch_size`` of 32 see what 1 worker sees with 64. All groups are of the same size, every
    worker has the same number of steps, and the last group is not dropped: the sequence is filled
    up to whole steps with further groups.

    The groups of an epoch are written to ``retrieval/`` in the folder of the run, where an epoch
    that was stopped half-way finds them again.

    Source: VideoCLIP (arXiv 2109.14084) §3.3.

    Args:
        retri_epoch: first epoch, from 1, whose groups are near videos.
        num_cands: nearest videos of which a group is drawn.
        num_video_per_batch: videos of a group; all of them where there are fewer.
        num_centroids: search with FAISS in an inverted file of that many cells, for more than some
            200,000 videos; null = search exactly.
        subsampling: clips that the aligner draws of one video; a video's vector is their mean.
        seed: the run's seed.
    """

    def __init__(
        self,
        *,
        retri_epoch: int = 1,
        num_cands: int = 64,
        num_video_per_batch: int = 32,
        num_centroids: int | None = None,
        subsampling: int = 1,
        seed: int = 1,
    ) -> None:
        super().__init__(subsampling=subsampling, seed=seed)
        if not 2 <= num_video_per_batch <= num_cands:
            raise ConfigError(
                f"num_video_per_batch is {num_video_per_batch}, but must be 2 or more and at most "
                f"num_cands, {num_cands}"
            )
        if num_centroids is not None and num_centroids < 1:
            raise ConfigError(f"num_centroids is {num_centroids}, but must be at least 1")
        self.retri_epoch = retri_epoch
        self.num_cands = num_cands
        self.num_video_per_batch = num_video_per_batch
        self.num_centroids = num_centroids

    @override
    def batches(self, epoch: Epoch) -> list[np.ndarray]:
        self._check(epoch)
        videos = len(epoch.dataset)
        size = min(self.num_video_per_batch, videos)
        a_step = epoch.batch_size * epoch.workers // self.num_video_per_batch
        groups = a_step * math.ceil(videos / size / a_step)
        if epoch.number < self.retri_epoch:
            chosen = random_groups(videos, groups, size, self._rng(epoch))
        else:
            chosen = self._near_groups(epoch, groups, size)
        return list(chosen.reshape(-1, a_step * size))

    def _check(self, epoch: Epoch) -> None:
        missing = [port for port in POOLED if port not in epoch.model.head.produces]
        if missing:
            raise ConfigError(
                f"RetrievalTask needs {' and '.join(missing)}, but "
                f"{type(epoch.model.head).__name__} produces {', '.join(epoch.model.head.produces)}"
            )
        step = epoch.batch_size * epoch.workers
        if step % self.num_video_per_batch:
            raise ConfigError(
                f"fairseq.dataset.batch_size × workers is {epoch.batch_size} × {epoch.workers} = "
                f"{step} videos a step, which must be a multiple of num_video_per_batch, "
                f"{self.num_video_per_batch}"
            )
        if len(epoch.dataset) < max(2, epoch.workers):
            raise DataError(
                f"groups need 2 training videos or more, and one a worker, but "
                f"{len(epoch.dataset)} are there for {epoch.workers} workers"
            )

    def _rng(self, epoch: Epoch) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch.number])

    def _near_groups(self, epoch: Epoch, groups: int, size: int) -> Int[np.ndarray, "groups size"]:
        """Return the groups of near videos: rank 0 makes or reads them and tells the others."""
        path = epoch.folder / "retrieval" / f"epoch_{epoch.number:04d}.npz"
        vectors = None if epoch.resumed else self._vectors(epoch)
        device = next(epoch.model.parameters()).device
        chosen = torch.zeros(groups, size, dtype=torch.long, device=device)
        if epoch.rank == 0:
            if vectors is None:
                found = read_groups(path, (groups, size))
            else:
                logger.info("epoch %d: %d groups of %d near videos", epoch.number, groups, size)
                found = nearest_groups(
                    vectors,
                    groups,
                    size,
                    self._rng(epoch),
                    candidates=self.num_cands,
                    num_centroids=self.num_centroids,
                )
                write_groups(path, found)
            chosen.copy_(torch.from_numpy(found))
        if epoch.workers > 1:
            dist.broadcast(chosen, 0)
        return chosen.cpu().numpy()

    @torch.no_grad()
    def _vectors(self, epoch: Epoch) -> Float[Tensor, "videos dim"]:
        """Return the vector of each training video; every worker encodes its share."""
        pool = VectorPool(len(epoch.dataset), epoch.rank, epoch.workers)
        loader = DataLoader(
            Subset(epoch.dataset, pool.share.tolist()),
            batch_size=epoch.batch_size,
            collate_fn=collate,
            num_workers=epoch.loaders,
        )
        training = epoch.model.training
        epoch.model.eval()
        for batch in loader:
            outputs = epoch.model(**self._inputs(epoch.model, batch))
            video, text = (outputs[port] for port in POOLED)
            pool.add(video, text, len(batch["video_id"]))
        epoch.model.train(training)
        return pool.gather()

    def _inputs(self, model: MultimodalModel, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        like = next(model.parameters())
        tensors = {k: v for k, v in self.flatten(batch).items() if isinstance(v, Tensor)}
        return {
            key: value.to(like.device, like.dtype if value.is_floating_point() else value.dtype)
            for key, value in tensors.items()
        }
