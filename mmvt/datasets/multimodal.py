"""A dataset is four processors: what there is, its video, its text, and how the two are aligned."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from torch.utils.data import Dataset

from mmvt.errors import ConfigError, DataError, MMVTError
from mmvt.processors.base import (
    Aligner,
    Example,
    MetaProcessor,
    TextClips,
    TextProcessor,
    VideoProcessor,
)
from mmvt.processors.text_experts import TextExperts
from mmvt.seeding import generator

logger = logging.getLogger(__name__)


@runtime_checkable
class ContainsMany(Protocol):
    """A video processor that looks up the ids of a whole data set at once."""

    def contains(self, video_ids: Sequence[str]) -> Bool[np.ndarray, " videos"]:
        """Return for each id whether there are features of the video."""


class MultimodalDataset(Dataset[Example]):
    """The examples of one split; every example is a pure function of (seed, epoch, index).

    Args:
        meta_processor: lists (video id, text id).
        video_processor: loads the features of a video. Where it can tell which videos it holds
            (``in``), all are looked up at once, before the first example is read.
        text_processor: loads the captions of a text id.
        aligner: makes an example of both.
        evaluation_aligner: makes the examples of validation and testing; ``aligner`` unless set.
        split: ``train``, ``valid`` or ``test``.
        seed: the run's seed.
        allow_missing: leave out the examples of videos without features, counted by ``missing``,
            instead of refusing to start.
        text_experts: words that stand before the prompt, by name: ``path``, a ``.jsonl`` file or a
            folder of transcripts; ``label``, the name and a colon unless set; ``max_tokens``, 32;
            and ``rule``, which words stay where not all fit: ``first``, ``middle`` or ``refuse``.
        missing_experts: a text expert that lacks a video has nothing to say of it, which is
            counted; otherwise it is an error.

    Attributes:
        missing: ids of the videos without features, each once.
    """

    def __init__(
        self,
        *,
        meta_processor: MetaProcessor,
        video_processor: VideoProcessor,
        text_processor: TextProcessor,
        aligner: Aligner,
        evaluation_aligner: Aligner | None = None,
        split: Literal["train", "valid", "test"] = "train",
        seed: int = 1,
        allow_missing: bool = False,
        text_experts: dict[str, Any] | None = None,
        missing_experts: bool = False,
    ) -> None:
        self.meta_processor = meta_processor
        self.video_processor = video_processor
        self.text_processor = text_processor
        self.aligner = aligner if split == "train" else (evaluation_aligner or aligner)
        self.seed = seed
        self.epoch = 1
        self._positions, self.missing = self._find_videos()
        if self.missing:
            self._report_missing(allow_missing)
        self.text_experts = TextExperts(text_experts or {}, missing=missing_experts)
        if text_experts:
            self.text_experts.check([video_processor.name_of(name) for name in self.video_ids])
        if text_experts and not self.aligner.shows_experts:
            raise ConfigError(f"{type(self.aligner).__name__} shows no words of text_experts")

    def set_epoch(self, epoch: int) -> None:
        """Draw from now on as in ``epoch``; call it before the workers of a loader start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> Example:
        """Return one example.

        Raises:
            IndexError: there are fewer examples.
            MMVTError: of the kind that a processor raised, naming video id and text id.
        """
        index = range(len(self))[index]
        video_id, text_id = self.ids_of(index)
        try:
            video_features = self.video_processor(video_id)
            clips = check_clips(self.text_processor(text_id))
            clips = self.video_processor.in_steps(video_id, clips)
            seconds = partial(self.video_processor.seconds_of, video_id)
            experts = self.text_experts(self.video_processor.name_of(video_id), seconds)
            clips = replace(clips, experts=experts)
            rng = generator(self.seed, self.epoch, index)
            example = self.aligner(video_id, video_features, clips, rng)
        except MMVTError as error:
            raise type(error)(f"video {video_id!r}, text {text_id!r}: {error}") from error
        return {**example, "video_id": video_id}

    def ids_of(self, index: int) -> tuple[str, Any]:
        """Return the (video id, text id) of an example."""
        return self.meta_processor[int(self._positions[index])]

    @property
    def video_ids(self) -> list[str]:
        """The video id of every example."""
        return [self.ids_of(index)[0] for index in range(len(self))]

    def _find_videos(self) -> tuple[Sequence[int] | np.ndarray, list[str]]:
        count = len(self.meta_processor)
        if not isinstance(self.video_processor, Container):
            return range(count), []
        ids = [self.meta_processor[index][0] for index in range(count)]
        if isinstance(self.video_processor, ContainsMany):
            found = self.video_processor.contains(ids)
        else:
            found = np.array([video in self.video_processor for video in ids], bool)
        if found.all():
            return range(count), []
        return np.flatnonzero(found), list(dict.fromkeys(ids[i] for i in np.flatnonzero(~found)))

    def _report_missing(self, allow_missing: bool) -> None:
        count = len(self.meta_processor)
        named = ", ".join(self.missing[:10]) + (", ..." if len(self.missing) > 10 else "")
        message = (
            f"{len(self.missing)} videos have no features, and {count - len(self)} of the {count} "
            f"examples need them: {named}"
        )
        if not allow_missing or len(self) == 0:
            raise DataError(message)
        logger.warning("left out: %s", message)


def check_clips(clips: TextClips) -> TextClips:
    """Return the captions unchanged.

    Raises:
        DataError: a time is NaN, negative or infinite where it may not be, an end comes before
            its start, starts are out of order, or the three lists differ in length.
    """
    start, end = np.asarray(clips.start), np.asarray(clips.end)
    if not len(start) == len(end) == len(clips.cap):
        raise DataError(f"{len(start)} starts, {len(end)} ends and {len(clips.cap)} captions")
    # comparisons with NaN are false, so each line also finds NaN
    good = (start >= 0) & (start < np.inf) & (end >= start)
    if not good.all():
        worst = int(np.argmin(good))
        raise DataError(f"caption {worst + 1} goes from {start[worst]:g} to {end[worst]:g} s")
    if (np.diff(start) < 0).any():
        raise DataError("the captions are not in time order")
    return clips


def collate(examples: Sequence[Example]) -> dict[str, Any]:
    """Return a batch: tensors are stacked, everything else is listed.

    Examples that are windows of a video (``num_windows``) come with a first dimension of windows,
    along which their tensors are joined.

    Raises:
        DataError: the windows of several videos come with texts of each video's own.
    """
    first = examples[0]
    windows = "num_windows" in first
    if len(examples) > 1 and windows and "window_caps" in first:
        raise DataError(
            f"a batch of {len(examples)} videos, each with texts of its own for its windows; set "
            "fairseq.dataset.batch_size to 1"
        )
    join = torch.cat if windows else torch.stack
    return {
        key: join([example[key] for example in examples])
        if isinstance(value, Tensor)
        else [example[key] for example in examples]
        for key, value in first.items()
    }
