from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.predictors.running import (
    batches_of,
    check_batch_size,
    check_outputs,
    comparable,
    entries_of,
    outputs_of,
)
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.heads.localization import StepLocalizationHead
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.base import MetaProcessor, VideoProcessor
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.text.captions import CaptionTextProcessor
from tests.corpus import DIM, write_tokenizer
from tests.knowing import knowing_model

V = 8


class Listed(MetaProcessor):
    """Pairs given one by one."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[str, Any]:
        return self.pairs[index]


class Some(VideoProcessor):
    """Three steps of ones for every video but ``gone``."""

    def __contains__(self, video_id: str) -> bool:
        return video_id != "gone"

    def __call__(self, video_id: str) -> np.ndarray:
        return np.ones((3, DIM), np.float32)


def dataset_of(folder: Path, pairs: list[tuple[str, Any]]) -> MultimodalDataset:
    captions = folder / "captions.csv"
    names = [name for name, _ in pairs]
    captions.write_text("video,caption\n" + "".join(f"{name},cut the ball\n" for name in names))
    bert_name = str(write_tokenizer(folder / "tokenizer"))
    layout = VideoTextLayout(max_video_len=V, max_len=V + 12, bert_name=bert_name)
    return MultimodalDataset(
        meta_processor=Listed(pairs),
        video_processor=Some(),
        text_processor=CaptionTextProcessor(annotations=captions, bert_name=bert_name),
        aligner=PairAligner(layout=layout),
        allow_missing=True,
    )


PAIRS = [("a", "a"), ("gone", "gone"), ("b", "b"), ("c", "c")]


def test_all_that_a_split_lists_is_an_entry_with_or_without_features(tmp_path: Path):
    entries = entries_of(dataset_of(tmp_path, PAIRS))
    assert [entry.name for entry in entries] == ["a", "gone", "b", "c"]
    assert [entry.index for entry in entries] == [0, None, 1, 2]


@pytest.mark.parametrize(("size", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (4, [3])])
def test_batches_hold_every_entry_with_features_once_with_its_own_example(
    tmp_path: Path, size: int, sizes: list[int]
):
    dataset = dataset_of(tmp_path, PAIRS)
    batches = list(batches_of(dataset, entries_of(dataset), size))
    assert [len(batch) for batch in batches] == sizes
    pairs = [pair for batch in batches for pair in batch]
    assert [entry.name for entry, _ in pairs] == ["a", "b", "c"]
    assert all(entry.video_id == example["video_id"] for entry, example in pairs)


def test_outputs_are_of_tensors_alone_and_without_gradients(tmp_path: Path):
    model = knowing_model(tmp_path, ContrastiveHead())
    dataset = dataset_of(tmp_path, PAIRS)
    batch = {key: value[None] for key, value in dataset[0].items() if torch.is_tensor(value)}
    outputs = outputs_of(model, {**batch, "video_id": ["a"]})
    assert outputs["pooled_video"].shape == (1, DIM)
    assert outputs["pooled_video"].dtype == torch.float32
    assert not outputs["pooled_video"].requires_grad


def test_what_a_model_does_not_produce_is_named(tmp_path: Path):
    model = knowing_model(tmp_path, ContrastiveHead())
    check_outputs(Some(), model, ["hidden_video", "pooled_text"])
    with pytest.raises(ConfigError, match="Some needs logits and hidden, but Words and Contrast"):
        check_outputs(Some(), model, ["logits", "pooled_text", "hidden"])


def test_vectors_are_scaled_as_the_head_scales_those_they_meet(tmp_path: Path):
    vectors = torch.tensor([[3.0, 4.0]])
    normal = knowing_model(tmp_path, ContrastiveHead(normalize=True))
    assert comparable(normal, vectors).tolist() == [pytest.approx([0.6, 0.8])]
    for head in (ContrastiveHead(normalize=False), StepLocalizationHead()):
        assert torch.equal(comparable(knowing_model(tmp_path, head), vectors), vectors)


def test_an_empty_split_is_refused(tmp_path: Path):
    dataset = dataset_of(tmp_path, PAIRS)
    dataset.meta_processor = Listed([])
    with pytest.raises(DataError, match="the split is empty"):
        entries_of(dataset)


def test_a_batch_has_at_least_one():
    assert check_batch_size(1) == 1
    with pytest.raises(ConfigError, match="batch_size is -1, but must be at least 1"):
        check_batch_size(-1)
