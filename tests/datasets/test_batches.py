"""Whole batches at once, against the same batches example by example."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.batches import ClipBatches, unpacked
from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.datasets.store import FeatureStore
from mmvt.errors import DataError
from mmvt.features.shard import StoreWriter
from mmvt.processors.aligners.masked import MFMMLMAligner
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.aligners.sampled import (
    FixedLenAligner,
    OverlappedAligner,
    SampledAligner,
)
from mmvt.processors.base import Aligner
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.meta.captions import CaptionMetaProcessor
from mmvt.processors.sampling import OverlappedSampler
from mmvt.processors.text.captions import CaptionTextProcessor
from mmvt.processors.video.store import StoreVideoProcessor
from tests.corpus import write_tokenizer

WORDS = [f"w{number}" for number in range(40)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of 1 to 24 steps in three shards; row k of video n is (n, k); five captions each."""
    folder = tmp_path_factory.mktemp("corpus")
    write_tokenizer(folder / "tokenizer", WORDS)
    lines = []
    with StoreWriter(
        folder / "features", dim=2, fps=0.5, encoder={"name": "test"}, shard_size=5
    ) as store:
        for number in range(12):
            steps = 1 + 2 * number + number % 2
            rows = np.stack([np.full(steps, number), np.arange(steps)], axis=1)
            store.add(f"v{number}", rows.astype(np.float32))
            for caption in range(5):
                words = " ".join(WORDS[(7 * number + caption + k) % 40] for k in range(caption + 1))
                start = 2 * steps * caption / 5
                lines.append([f"v{number}", words, start, start + 2 * steps / 5, "train"])
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["video", "caption", "start", "end", "split"], *lines])
    return folder


def layout(corpus: Path, max_video_len: int = 4, max_len: int = 16) -> VideoTextLayout:
    return VideoTextLayout(
        max_video_len=max_video_len, max_len=max_len, bert_name=str(corpus / "tokenizer")
    )


def dataset(corpus: Path, aligner: Aligner, **options: Any) -> MultimodalDataset:
    return MultimodalDataset(
        meta_processor=CaptionMetaProcessor(
            split="train", annotations=corpus / "captions.csv", per="video"
        ),
        video_processor=StoreVideoProcessor(store=corpus / "features"),
        text_processor=CaptionTextProcessor(
            annotations=corpus / "captions.csv", bert_name=str(corpus / "tokenizer")
        ),
        aligner=aligner,
        **options,
    )


def clips_of(data: MultimodalDataset) -> ClipBatches:
    clips = ClipBatches.of(data)
    assert clips is not None
    return clips


def batch(data: MultimodalDataset, indices: Sequence[int]) -> dict[str, Any]:
    return unpacked(clips_of(data)(np.array(indices)))


@pytest.mark.parametrize("indices", [[0], [11, 3, 7], [2, 2], list(range(12))])
def test_without_chance_a_batch_is_that_of_its_examples(corpus: Path, indices: list[int]):
    data = dataset(corpus, PairAligner(layout=layout(corpus)))
    ours, theirs = batch(data, indices), collate([data[index] for index in indices])
    assert ours.keys() == theirs.keys()
    assert ours["video_id"] == theirs["video_id"]
    for key in ("vfeats", "vmasks", "caps", "cmasks"):
        assert ours[key].dtype == theirs[key].dtype
        assert torch.equal(ours[key], theirs[key]), key


def test_a_text_that_is_too_long_keeps_its_closing_separator(corpus: Path):
    short = layout(corpus, max_video_len=4, max_len=9)
    data = dataset(corpus, FixedLenAligner(layout=short, max_video_len=4, max_len=9))
    caps = batch(data, range(12))["caps"]
    assert caps.shape == (12, 5)
    assert (caps[caps != 0].reshape(-1)[-1]) == short.special.sep
    assert all(row[row != 0][-1] == short.special.sep for row in caps)


@pytest.mark.parametrize("subsampling", [1, 3])
def test_samples_are_runs_of_one_video_and_of_its_captions(corpus: Path, subsampling: int):
    aligner = OverlappedAligner(
        layout=layout(corpus, max_len=32),
        max_video_len=4,
        sampled_min_len=2,
        sampled_max_len=6,
        sampled_video_min_len=1,
        subsampling=subsampling,
    )
    data = dataset(corpus, aligner)
    found = batch(data, [5, 9])
    assert found["video_id"] == ["v5"] * subsampling + ["v9"] * subsampling
    assert len(found["caps"]) == len(found["vfeats"]) == 2 * subsampling
    for place, video_id in enumerate(found["video_id"]):
        rows = found["vfeats"][place][found["vmasks"][place]]
        assert (rows[:, 0] == int(video_id[1:])).all()
        assert (rows[:, 1].diff() == 1).all()
        tokens = found["caps"][place][found["cmasks"][place]].tolist()[2:-1]
        spoken = [token for cap in data.text_processor(video_id).cap for token in cap]
        assert any(spoken[k : k + len(tokens)] == tokens for k in range(len(spoken)))


def overlapped(corpus: Path) -> OverlappedAligner:
    return OverlappedAligner(
        layout=layout(corpus, max_len=32),
        max_video_len=4,
        sampled_min_len=1,
        sampled_max_len=9,
        sampled_video_min_len=1,
    )


def test_an_example_is_the_same_in_any_batch_and_another_in_another_epoch(corpus: Path):
    data = dataset(corpus, overlapped(corpus))
    alone = [batch(data, [index]) for index in range(12)]
    together = batch(data, range(12))
    for key in ("vfeats", "vmasks", "caps", "cmasks"):
        assert torch.equal(torch.cat([one[key] for one in alone]), together[key])
    data.set_epoch(2)
    later = batch(data, range(12))
    assert not torch.equal(later["caps"], together["caps"])
    data.set_epoch(1)
    assert torch.equal(batch(data, range(12))["caps"], together["caps"])


def test_batches_that_were_given_out_stay_as_they_are(corpus: Path):
    data = dataset(corpus, overlapped(corpus))
    clips = clips_of(data)
    first = clips(np.arange(12))
    rows = first["video_rows"].clone()
    for _ in range(5):
        clips(np.arange(12)[::-1].copy())
    assert torch.equal(first["video_rows"], rows)


def test_packed_rows_are_those_of_the_clips_without_padding(corpus: Path):
    data = dataset(corpus, PairAligner(layout=layout(corpus)))
    packed = clips_of(data)(np.array([0, 11]))
    assert packed["video_rows"].dtype == torch.float16
    assert packed["video_lengths"].tolist() == [1, 4]
    assert len(packed["video_rows"]) == 5


def test_what_only_the_dataset_can_make_is_left_to_it(corpus: Path):
    masked = MFMMLMAligner(
        layout=layout(corpus),
        max_video_len=4,
        max_len=16,
        bert_name=str(corpus / "tokenizer"),
    )
    assert ClipBatches.of(dataset(corpus, masked)) is None
    skipping = SampledAligner(
        sampler=OverlappedSampler(max_video_len=4, keep_prob=0.5), layout=layout(corpus)
    )
    assert ClipBatches.of(dataset(corpus, skipping)) is None


def test_grids_are_left_to_the_dataset(corpus: Path, tmp_path: Path):
    with StoreWriter(tmp_path / "s", dim=2, grid=2, fps=1.0, encoder={"name": "test"}) as store:
        for number in range(12):
            store.add(f"v{number}", np.ones((2, 4, 2), np.float32))
    assert len(FeatureStore.open(tmp_path / "s")) == 12
    data = dataset(corpus, PairAligner(layout=layout(corpus)))
    data.video_processor = StoreVideoProcessor(store=tmp_path / "s")
    assert ClipBatches.of(data) is None


def test_captions_behind_their_video_are_an_error_that_names_the_batch(corpus: Path):
    data = dataset(corpus, overlapped(corpus))
    data.video_processor.fps = 1000.0  # all but the first caption now start behind the video
    assert len(batch(data, [3])["caps"]) == 1
    clips = clips_of(data)
    clips.spans = clips.spans._replace(length=np.zeros(12, np.int64))
    with pytest.raises(DataError, match=r"in the batch of 'v3', 'v4': video 1 of the batch: none"):
        clips(np.array([3, 4]))
