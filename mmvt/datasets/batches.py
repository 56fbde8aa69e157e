"""Whole training batches at once: samples, captions and features without a step per clip in Python.

The laws are those of :class:`~mmvt.datasets.multimodal.MultimodalDataset`, example by example; the
draws are not, as each clip here has random numbers of its own, keyed by (seed, epoch, example).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mmvt.datasets.gather import Clips, RowGatherer, RowSpans
from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.datasets.original_shards import CaptionArrays
from mmvt.errors import MMVTError
from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Sampler, TextProcessor
from mmvt.processors.batch_sampling import (
    BatchCaptions,
    BatchSamples,
    clip_keys,
    sample_fixed_len,
    sample_overlapped,
)
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.sampling import FixedLenSampler, OverlappedSampler, WholeSampler


@runtime_checkable
class HasRowSpans(Protocol):
    """A video processor whose features are rows of mapped shards."""

    fps: float

    def row_spans(self, ids: Sequence[str]) -> RowSpans | None:
        """Return where the rows of videos lie; None where a step is not one row."""


@runtime_checkable
class HasCaptionArrays(Protocol):
    """A text processor that reads the captions of many videos at once."""

    def caption_arrays(self, text_ids: Sequence[Any]) -> CaptionArrays:
        """Return the captions of videos."""


class ClipBatches:
    """Makes batches of a dataset.

    Args:
        dataset: its examples.
        layout: of its aligner.
        sampler: of its aligner.
        spans: where the features of its examples lie.
    """

    def __init__(
        self, dataset: MultimodalDataset, layout: VideoTextLayout, sampler: Sampler, spans: RowSpans
    ) -> None:
        self.dataset, self.layout, self.sampler, self.spans = dataset, layout, sampler, spans
        self._gather: RowGatherer | None = None

    @classmethod
    def of(cls, dataset: MultimodalDataset) -> ClipBatches | None:
        """Return what makes batches of a dataset; None where only the dataset itself can.

        It takes features that are rows of mapped shards, and an aligner that samples a run of
        captions, writes it as ``VideoTextLayout`` does, and hides nothing.
        """
        aligner, video = dataset.aligner, dataset.video_processor
        if not (isinstance(aligner, SampledAligner) and isinstance(video, HasRowSpans)):
            return None
        sampler, layout = aligner.sampler, aligner.layout
        if type(layout) is not VideoTextLayout or aligner.masker or not _is_run(sampler):
            return None
        spans = video.row_spans(dataset.video_ids)
        return None if spans is None else cls(dataset, layout, sampler, spans)

    def __call__(self, indices: Int[np.ndarray, " videos"]) -> dict[str, Any]:
        """Return a batch: the wire keys, with features packed (:func:`unpacked`), and ids.

        Raises:
            DataError: captions are wrong, or none starts within its video.
            StoreError: features are missing, damaged or not finite.
        """
        examples = [self.dataset.ids_of(int(index)) for index in indices]
        try:
            captions = caption_arrays(self.dataset.text_processor, [text for _, text in examples])
            samples = self._sampled(captions, indices)
            rows = self._rows(samples, indices)
        except MMVTError as error:
            ids = ", ".join(repr(video) for video, _ in examples[:10])
            raise type(error)(f"in the batch of {ids}: {error}") from error
        copies = samples.video_start.shape[1]
        video_ids = [video for video, _ in examples for _ in range(copies)]
        caps, cmasks = _texts(captions, samples, self.layout)
        return {**rows, "caps": caps, "cmasks": cmasks, "video_id": video_ids}

    def _sampled(
        self, captions: CaptionArrays, indices: Int[np.ndarray, " videos"]
    ) -> BatchSamples:
        steps = self.spans.length[indices]
        if isinstance(self.sampler, WholeSampler):
            first = captions.offsets[:-1, None]
            return BatchSamples(np.zeros_like(steps)[:, None], steps[:, None], first, first + 1)
        fps = self.dataset.video_processor.fps
        times = captions.starts * fps, captions.ends * fps
        if fps == 0:  # without a steady rate a caption covers its whole video
            times = np.zeros_like(captions.starts), np.full_like(captions.ends, np.inf)
        texts = BatchCaptions(captions.offsets, *times, np.diff(captions.token_offsets))
        keys = clip_keys(self.dataset.seed, self.dataset.epoch, indices, self._copies)
        if isinstance(self.sampler, OverlappedSampler):
            return sample_overlapped(texts, steps, keys, self.sampler)
        assert isinstance(self.sampler, FixedLenSampler)
        return sample_fixed_len(texts, steps, keys, self.sampler)

    @property
    def _copies(self) -> int:
        aligner = self.dataset.aligner
        assert isinstance(aligner, SampledAligner)
        return aligner.subsampling

    def _rows(self, samples: BatchSamples, indices: Int[np.ndarray, " videos"]) -> dict[str, Any]:
        if self._gather is None:  # in the process that reads, not in the one that forks
            # loaders keep an unknown number of batches: each has memory of its own
            self._gather = RowGatherer(self.spans.prefixes, buffers=None)
        length = np.minimum(samples.video_len, self.layout.max_video_len).ravel()
        copies = samples.video_start.shape[1]
        first = (self.spans.first[indices, None] + samples.video_start).ravel()
        packed = self._gather(Clips(np.repeat(self.spans.shard[indices], copies), first, length))
        return {
            "video_rows": torch.from_numpy(packed.rows),
            "video_starts": torch.from_numpy(packed.starts),
            "video_lengths": torch.from_numpy(packed.lengths),
            "max_video_len": self.layout.max_video_len,
        }


def _is_run(sampler: Sampler) -> bool:
    """Return whether the captions of a sample follow each other, by a law that is known here."""
    if type(sampler) is WholeSampler:
        return sampler.captions == "first"
    if type(sampler) is OverlappedSampler or type(sampler) is FixedLenSampler:
        return sampler.keep_prob == 1
    return False


def caption_arrays(processor: TextProcessor, text_ids: Sequence[Any]) -> CaptionArrays:
    """Return the captions behind text ids, from any text processor."""
    if isinstance(processor, HasCaptionArrays):
        return processor.caption_arrays(text_ids)
    clips = [processor(text_id) for text_id in text_ids]
    captions = [cap for video in clips for cap in video.cap]
    return CaptionArrays(
        _offsets([len(video) for video in clips]),
        np.concatenate([video.start for video in clips]),
        np.concatenate([video.end for video in clips]),
        np.array([token for caption in captions for token in caption], np.int64),
        _offsets([len(caption) for caption in captions]),
    )


def unpacked(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a batch whose features are padded: ``vfeats`` and ``vmasks`` in place of packed rows.

    This is done where the rows are, so that half-precision rows without padding go to a GPU. A
    batch without packed rows comes back as it is.
    """
    rest = dict(batch)
    if "video_rows" not in batch:
        return rest
    rows, lengths = rest.pop("video_rows"), rest.pop("video_lengths")
    steps = torch.arange(rest.pop("max_video_len"), device=rows.device)
    vmasks = steps < lengths[:, None]
    places = (rest.pop("video_starts")[:, None] + steps)[vmasks]
    vfeats = rows.new_zeros(*vmasks.shape, rows.shape[1], dtype=torch.float32)
    vfeats[vmasks] = rows[places].float()
    return {"vfeats": vfeats, "vmasks": vmasks, **rest}


def _texts(
    captions: CaptionArrays, samples: BatchSamples, layout: VideoTextLayout
) -> tuple[Int[Tensor, "clips text_len"], Bool[Tensor, "clips text_len"]]:
    """Return ids and masks of texts, each a run of captions, as the layout writes them."""
    first = captions.token_offsets[samples.text_first.ravel()]
    words = captions.token_offsets[samples.text_stop.ravel()] - first
    words = np.minimum(words, layout.text_len - 3)
    special = layout.special
    caps = np.full((len(words), layout.text_len), special.pad)
    caps[:, 0], caps[:, 1] = special.cls, special.sep
    begin = np.cumsum(words) - words
    place = np.arange(int(words.sum()))
    row = np.arange(len(words)) * layout.text_len + 2
    caps.ravel()[place + np.repeat(row - begin, words)] = captions.tokens[
        place + np.repeat(first - begin, words)
    ]
    caps[np.arange(len(words)), 2 + words] = special.sep
    cmasks = np.arange(layout.text_len) < (3 + words)[:, None]
    return torch.from_numpy(caps), torch.from_numpy(cmasks)


def _offsets(counts: Sequence[int]) -> Int[np.ndarray, " counts_plus_1"]:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
