from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmvt.datasets.multimodal import MultimodalDataset, check_clips, collate
from mmvt.errors import ConfigError, DataError, StoreError
from mmvt.features.shard import StoreWriter
from mmvt.processors.aligners.milnce import MILNCEAligner
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.aligners.sampled import OverlappedAligner
from mmvt.processors.base import (
    Aligner,
    Example,
    MetaProcessor,
    TextClips,
    TextProcessor,
    VideoProcessor,
)
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.meta.captions import CaptionMetaProcessor
from mmvt.processors.prompts import PromptLayout
from mmvt.processors.text.captions import CaptionTextProcessor
from mmvt.processors.video.store import StoreVideoProcessor

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "runs"]


class ListedPairs(MetaProcessor):
    """Examples given one by one."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[str, str]:
        return self.pairs[index]


class CountingVideos(VideoProcessor):
    """Video vN has N steps, numbered from 0; it cannot tell what it holds."""

    fps = 2.0

    def __call__(self, video_id: str) -> np.ndarray:
        if video_id == "gone":
            raise StoreError("no features")
        return np.arange(int(video_id[1:]), dtype=np.float16)[:, None]


class KnownVideos(CountingVideos):
    """The same, but it can tell which videos it holds."""

    def __contains__(self, video_id: str) -> bool:
        return video_id != "gone" and int(video_id[1:]) < 100


class GivenTexts(TextProcessor):
    """Captions given by id."""

    def __init__(self, texts: dict[str, TextClips]) -> None:
        self.texts = texts

    def __call__(self, text_id: Any) -> TextClips:
        return self.texts[text_id]


def clips_of(*captions: tuple[float, float, list[int]]) -> TextClips:
    starts, ends, words = zip(*captions, strict=True) if captions else ((), (), ())
    return TextClips(np.array(starts), np.array(ends), list(words))


TEXTS = {
    "t": clips_of(*((i * 1.0, i + 1.0, [10 * i + k for k in range(3)]) for i in range(1, 8))),
    "whole": clips_of((0.0, math.inf, [5, 6])),
    "reversed": clips_of((0, 1, [5]), (3.0, 2.0, [5])),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return str(folder)


@pytest.fixture(scope="module")
def layout(tokenizer: str) -> VideoTextLayout:
    return VideoTextLayout(max_video_len=4, max_len=16, bert_name=tokenizer)


@pytest.fixture
def overlapped(layout: VideoTextLayout) -> OverlappedAligner:
    return OverlappedAligner(
        layout=layout,
        max_video_len=4,
        sampled_min_len=1,
        sampled_max_len=9,
        sampled_video_min_len=1,
    )


def dataset_of(
    aligner: Aligner,
    pairs: list[tuple[str, str]],
    videos: VideoProcessor | None = None,
    **options: Any,
) -> MultimodalDataset:
    return MultimodalDataset(
        meta_processor=ListedPairs(pairs),
        video_processor=videos or CountingVideos(),
        text_processor=GivenTexts(TEXTS),
        aligner=aligner,
        **options,
    )


def same(one: Example, other: Example) -> bool:
    return all(
        torch.equal(one[key], other[key])
        if isinstance(one[key], torch.Tensor)
        else one[key] == other[key]
        for key in one
    )


def test_an_example_is_the_aligned_video_and_text(layout: VideoTextLayout) -> None:
    example = dataset_of(PairAligner(layout=layout), [("v2", "whole")])[0]
    assert example["video_id"] == "v2"
    assert example["vfeats"].tolist() == [[0], [1], [0], [0]]
    assert example["caps"].tolist() == [2, 3, 5, 6, 3, 0, 0, 0, 0, 0, 0, 0]


class Telling(Aligner):
    """Tells the times it was given."""

    def __call__(
        self, video_id: str, video_features: np.ndarray, clips: TextClips, rng: np.random.Generator
    ) -> Example:
        return {"times": [clips.start.tolist(), clips.end.tolist()]}


def test_own_data_is_a_caption_file_and_a_store(
    overlapped: OverlappedAligner, tokenizer: str, tmp_path: Path
) -> None:
    path = tmp_path / "captions.csv"
    path.write_text(
        "video,caption,start,end,split\n"
        "Küche 1.mp4,a dog,0,1.5,train\nKüche 1.mp4,runs,1.5,,train\nb.mp4,a dog runs,,,test\n"
    )
    with StoreWriter(tmp_path / "store", dim=1, fps=2.0, encoder={"name": "test"}) as writer:
        writer.add("Küche 1.mp4", np.arange(5, dtype=np.float16)[:, None])
        writer.add("b.mp4", np.ones((1, 1), np.float16))

    def split_of(split: Literal["train", "test"], aligner: Aligner) -> MultimodalDataset:
        return MultimodalDataset(
            meta_processor=CaptionMetaProcessor(split=split, annotations=path),
            video_processor=StoreVideoProcessor(store=tmp_path / "store"),
            text_processor=CaptionTextProcessor(annotations=path, bert_name=tokenizer),
            aligner=aligner,
        )

    train = split_of("train", overlapped)
    seen = set()
    for epoch in range(1, 30):
        train.set_epoch(epoch)
        example = train[0]
        assert example["video_id"] == "Küche 1.mp4"
        seen.add(tuple(example["caps"][example["cmasks"]].tolist()))
    assert seen == {(2, 3, 5, 6, 3), (2, 3, 7, 3), (2, 3, 5, 6, 7, 3)}
    [example] = split_of("test", PairAligner(layout=overlapped.layout))
    assert example["video_id"] == "b.mp4"
    assert example["caps"].tolist()[:6] == [2, 3, 5, 6, 7, 3]


def test_captions_reach_the_aligner_in_feature_steps() -> None:
    dataset = dataset_of(Telling(), [("v9", "t"), ("v9", "whole")])
    assert dataset[0]["times"] == [[2, 4, 6, 8, 10, 12, 14], [4, 6, 8, 10, 12, 14, 16]]
    assert dataset[1]["times"] == [[0], [math.inf]]


def test_an_example_depends_on_seed_epoch_and_index_alone(overlapped: OverlappedAligner) -> None:
    pairs = [("v20", "t")] * 6
    dataset = dataset_of(overlapped, pairs, seed=3)
    first = [dataset[index] for index in range(6)]
    backwards = [dataset[index] for index in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(first, backwards, strict=True))
    assert not all(same(first[0], other) for other in first)

    dataset.set_epoch(2)
    second = [dataset[index] for index in range(6)]
    assert not all(same(a, b) for a, b in zip(first, second, strict=True))
    resumed = dataset_of(overlapped, pairs, seed=3)
    resumed.set_epoch(2)
    assert same(resumed[4], second[4])
    assert not all(
        same(a, b)
        for a, b in zip(
            first, map(dataset_of(overlapped, pairs, seed=4).__getitem__, range(6)), strict=True
        )
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_batch_size_change_nothing(overlapped: OverlappedAligner, workers: int) -> None:
    dataset = dataset_of(overlapped, [("v20", "t")] * 5)
    alone = collate([dataset[index] for index in range(5)])
    loader = DataLoader(dataset, batch_size=2, num_workers=workers, collate_fn=collate)
    batches = list(loader)
    assert torch.equal(torch.cat([batch["caps"] for batch in batches]), alone["caps"])
    assert torch.equal(torch.cat([batch["vfeats"] for batch in batches]), alone["vfeats"])


@pytest.mark.parametrize(
    ("pair", "error", "message"),
    [
        (("gone", "t"), StoreError, "video 'gone', text 't': no features"),
        (
            ("v3", "reversed"),
            DataError,
            "video 'v3', text 'reversed': caption 2 goes from 3 to 2 s",
        ),
        (
            ("v1", "t"),
            DataError,
            "video 'v1', text 't': none of the 7 captions starts within the 1",
        ),
    ],
)
def test_an_error_names_the_video_and_the_text(
    overlapped: OverlappedAligner,
    pair: tuple[str, str],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        dataset_of(overlapped, [pair])[0]


def test_an_index_beyond_the_end_is_an_error(overlapped: OverlappedAligner) -> None:
    dataset = dataset_of(overlapped, [("v20", "t")] * 2)
    assert same(dataset[-1], dataset[1])
    for index in (2, -3):
        with pytest.raises(IndexError):
            dataset[index]


def test_videos_without_features_are_refused_before_training(
    overlapped: OverlappedAligner,
) -> None:
    pairs = [("v20", "t"), *((f"v{i}", "t") for i in range(100, 112)), ("v100", "t")]
    with pytest.raises(
        DataError,
        match=r"12 videos have no features, and 13 of the 14 examples .*: v100, .*, v109, [.]{3}$",
    ):
        dataset_of(overlapped, pairs, KnownVideos())


def test_missing_videos_are_counted_and_left_out_where_that_is_allowed(
    overlapped: OverlappedAligner, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = [("gone", "t"), ("v20", "t"), ("gone", "t"), ("v20", "whole")]
    with caplog.at_level(logging.WARNING):
        dataset = dataset_of(overlapped, pairs, KnownVideos(), allow_missing=True)
    assert caplog.messages == [
        "left out: 1 videos have no features, and 2 of the 4 examples need them: gone"
    ]
    assert dataset.missing == ["gone"]
    assert len(dataset) == len(list(dataset)) == 2
    assert dataset[1]["caps"].tolist()[:5] == [2, 3, 5, 6, 3]


def test_videos_that_a_store_lacks_are_found_at_once(
    overlapped: OverlappedAligner, tmp_path: Path
) -> None:
    with StoreWriter(tmp_path / "store", dim=1, fps=1.0, encoder={"name": "test"}) as writer:
        writer.add("v20", np.ones((20, 1), np.float16))
    pairs = [("gone", "t"), ("v20", "t"), ("lost", "t"), ("gone", "t"), ("v20", "whole")]
    videos = StoreVideoProcessor(store=tmp_path / "store")
    dataset = dataset_of(overlapped, pairs, videos, allow_missing=True)
    assert dataset.missing == ["gone", "lost"]
    assert [dataset.ids_of(index) for index in range(len(dataset))] == [pairs[1], pairs[4]]
    assert dataset_of(overlapped, [("v20", "t")], videos).missing == []


def test_a_dataset_without_any_features_is_refused(overlapped: OverlappedAligner) -> None:
    with pytest.raises(DataError, match="1 of the 1 examples"):
        dataset_of(overlapped, [("gone", "t")], KnownVideos(), allow_missing=True)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (clips_of((math.nan, 1.0, [])), "caption 1 goes from nan to 1 s"),
        (clips_of((0.0, math.nan, [])), "caption 1 goes from 0 to nan s"),
        (clips_of((0.0, 1.0, []), (-0.5, 1.0, [])), "caption 2 goes from -0.5 to 1 s"),
        (clips_of((math.inf, math.inf, [])), "caption 1 goes from inf"),
        (clips_of((2.0, 3.0, []), (1.0, 3.0, [])), "not in time order"),
        (TextClips(np.zeros(2), np.zeros(2), [[]]), "2 starts, 2 ends and 1 captions"),
    ],
)
def test_impossible_times_are_refused(clips: TextClips, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_clips(clips)


@pytest.mark.parametrize(
    "clips",
    [
        clips_of(),
        clips_of((0.0, 0.0, [])),
        clips_of((0.0, math.inf, []), (0.0, 5.0, []), (4.0, 4.5, [])),
    ],
)
def test_overlaps_and_open_ends_are_allowed(clips: TextClips) -> None:
    assert check_clips(clips) is clips


def test_a_batch_stacks_tensors_and_lists_the_rest() -> None:
    batch = collate(
        [{"caps": torch.tensor([i, 1]), "video_id": f"v{i}", "number": i} for i in range(3)]
    )
    assert batch["caps"].tolist() == [[0, 1], [1, 1], [2, 1]]
    assert batch["video_id"] == ["v0", "v1", "v2"]
    assert batch["number"] == [0, 1, 2]


def test_text_experts_stand_before_the_prompt_in_the_time_of_the_features(
    tokenizer: str, tmp_path: Path
) -> None:
    lines = [
        {"video_id": "v4", "text": "a", "start": 0, "end": 1},
        {"video_id": "v4", "text": "dog", "start": 2, "end": 3},
        {"video_id": "v4", "text": "runs", "start": 1.5, "end": 1.5},
    ]
    (tmp_path / "ocr.jsonl").write_text("\n".join(map(json.dumps, lines)))
    layout = PromptLayout(max_video_len=4, max_prompt_len=2, bert_name=tokenizer)
    experts = {"ocr": {"path": tmp_path / "ocr.jsonl", "label": "", "max_tokens": 3}}
    aligner = PairAligner(layout=layout)
    # four steps at two a second: what begins at 2 s is behind the end
    example = dataset_of(aligner, [("v4", "whole")], KnownVideos(), text_experts=experts)[0]
    assert example["caps"].tolist() == [5, 7, 0, 0, 0]
    with pytest.raises(DataError, match="ocr.jsonl lacks 1 of 2 videos: v5"):
        dataset_of(aligner, [("v4", "whole"), ("v5", "whole")], text_experts=experts)
    pairs = [("v5", "whole")]
    lacking = dataset_of(aligner, pairs, text_experts=experts, missing_experts=True)
    assert not lacking[0]["cmasks"].any()
    with pytest.raises(ConfigError, match="MILNCEAligner shows no words of text_experts"):
        dataset_of(MILNCEAligner(layout=layout), [("v4", "whole")], text_experts=experts)
