from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmvt.config.recipe import Recipe
from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.evaluator import load_model
from mmvt.evaluators.metrics.retrieval import RetrievalMetric
from mmvt.evaluators.predictors.retrieval import RetrievalPredictor
from mmvt.features.shard import StoreWriter
from mmvt.models.base import Head
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.aligners.sampled import OverlappedAligner
from mmvt.processors.base import (
    Aligner,
    MetaProcessor,
    TextClips,
    TextProcessor,
    VideoProcessor,
)
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.video.store import StoreVideoProcessor

DIM = 16
MAX_VIDEO_LEN, MAX_LEN = 8, 24


class ListedPairs(MetaProcessor):
    """Examples given one by one."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[str, Any]:
        return self.pairs[index]


class ListedTexts(TextProcessor):
    """Captions given as tokens, all from the first second on."""

    def __init__(self, texts: Mapping[Any, list[list[int]]]) -> None:
        self.texts = texts

    def __call__(self, text_id: Any) -> TextClips:
        caps = self.texts[text_id]
        return TextClips(np.zeros(len(caps)), np.full(len(caps), math.inf), caps)


class Videos(VideoProcessor):
    """Video vN has N steps of numbers that depend on N; others have no features."""

    def __contains__(self, video_id: str) -> bool:
        return video_id.startswith("v")

    def __call__(self, video_id: str) -> np.ndarray:
        number = int(video_id[1:])
        return np.random.default_rng(number).normal(size=(number, DIM)).astype(np.float16)


class NoVectors(Head):
    """A head without pooled vectors."""

    produces = ("logits",)

    def forward(self, hidden_video: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"logits": hidden_video}


@pytest.fixture
def layout(task: Path) -> VideoTextLayout:
    tokenizer = task.parents[2] / "corpus" / "tokenizer"
    return VideoTextLayout(max_video_len=MAX_VIDEO_LEN, max_len=MAX_LEN, bert_name=str(tokenizer))


@pytest.fixture
def model(recipe: Recipe) -> MultimodalModel:
    return load_model(recipe, None)


def dataset_of(
    pairs: list[tuple[str, Any]],
    texts: Mapping[Any, list[list[int]]],
    aligner: Aligner,
    *,
    allow_missing: bool = False,
) -> MultimodalDataset:
    return MultimodalDataset(
        meta_processor=ListedPairs(pairs),
        video_processor=Videos(),
        text_processor=ListedTexts(texts),
        aligner=aligner,
        allow_missing=allow_missing,
    )


def by_id(predictions: Predictions, kind: str) -> dict[str, np.ndarray]:
    ids = predictions[f"scored_{kind}s"].tolist()
    return dict(zip(ids, predictions[f"{kind}_vectors"], strict=True))


def test_every_video_and_every_caption_of_the_split_is_there_once(
    recipe: Recipe, model: MultimodalModel
):
    predictions = RetrievalPredictor()(model, recipe.dataset("test"))
    videos = [f"video {number:02d}.mp4" for number in (5, 11, 17, 23)]
    assert predictions["video_ids"].tolist() == predictions["scored_videos"].tolist() == videos
    texts = [f"{video}#{number}" for video in videos for number in (1, 2)]
    assert predictions["text_ids"].tolist() == predictions["scored_texts"].tolist() == texts
    assert predictions["text_video"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert predictions["captions"][:2].tolist() == ["a green box moves", "the green box rests"]
    assert predictions["text_vectors"].shape == (8, 16)
    assert predictions["video_vectors"].dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 64])
def test_batch_size_changes_no_score(recipe: Recipe, model: MultimodalModel, batch_size: int):
    dataset = recipe.dataset("test")
    one = RetrievalPredictor(batch_size=batch_size)(model, dataset)
    other = RetrievalPredictor(batch_size=5)(model, dataset)
    for name in ("text_vectors", "video_vectors"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-4, atol=1e-6)


def test_order_of_the_split_changes_no_vector(model: MultimodalModel, layout: VideoTextLayout):
    texts = {"a": [[5, 6]], "b": [[7]], "c": [[8, 9, 10]]}
    pairs = [("v3", "a"), ("v3", "b"), ("v9", "c")]
    predictor, aligner = RetrievalPredictor(batch_size=2), PairAligner(layout=layout)
    one = predictor(model, dataset_of(pairs, texts, aligner))
    other = predictor(model, dataset_of(pairs[::-1], texts, aligner))
    assert other["video_ids"].tolist() == ["v9", "v3"]
    for kind in ("text", "video"):
        for name, vector in by_id(one, kind).items():
            np.testing.assert_allclose(vector, by_id(other, kind)[name], rtol=1e-4, atol=1e-6)


def test_nothing_is_drawn_even_where_training_samples(
    model: MultimodalModel, layout: VideoTextLayout
):
    pairs, texts = [("v8", "a"), ("v8", "b"), ("v5", "c")], {"a": [[5]], "b": [[6]], "c": [[7]]}
    sampling = OverlappedAligner(layout=layout, max_video_len=MAX_VIDEO_LEN)
    drawn = RetrievalPredictor()(model, dataset_of(pairs, texts, sampling))
    whole = RetrievalPredictor()(model, dataset_of(pairs, texts, PairAligner(layout=layout)))
    for name in ("text_vectors", "video_vectors"):
        assert np.array_equal(drawn[name], whole[name])


def test_vectors_are_those_of_the_model_without_dropout(
    model: MultimodalModel, layout: VideoTextLayout
):
    dropouts = [part for part in model.modules() if isinstance(part, nn.Dropout)]
    assert dropouts
    for part in dropouts:
        part.p = 0.9
    model.train()
    pairs, texts = [("v8", "a"), ("v5", "c")], {"a": [[5]], "c": [[7, 8]]}
    predictions = RetrievalPredictor()(model, dataset_of(pairs, texts, PairAligner(layout=layout)))
    model.eval()
    example = layout(Videos()("v5"), [7, 8])
    with torch.no_grad():
        outputs = model(**{name: value[None] for name, value in example.items()})
    for kind in ("text", "video"):
        np.testing.assert_allclose(
            predictions[f"{kind}_vectors"][1],
            outputs[f"pooled_{kind}"][0].numpy(),
            rtol=1e-4,
            atol=1e-6,
        )


def test_an_example_of_several_captions_asks_for_each_of_them(
    model: MultimodalModel, layout: VideoTextLayout
):
    texts = {0: [[5], [6], [7]], 1: [[8]]}
    dataset = dataset_of([("v4", 0), ("v2", 1)], texts, PairAligner(layout=layout))
    predictions = RetrievalPredictor(batch_size=2)(model, dataset)
    assert predictions["text_ids"].tolist() == ["0#1", "0#2", "0#3", "1"]
    assert predictions["text_video"].tolist() == [0, 0, 0, 1]
    assert predictions["captions"].tolist() == ["", "", "", ""]
    assert len(np.unique(predictions["text_vectors"], axis=0)) == 4


def test_equal_captions_are_recognised_and_have_one_vector(
    model: MultimodalModel, layout: VideoTextLayout
):
    texts = {"a": [[5, 6]], "b": [[7]], "c": [[5, 6]]}
    pairs = [("v3", "a"), ("v3", "b"), ("v9", "c")]
    dataset = dataset_of(pairs, texts, PairAligner(layout=layout))
    predictions = RetrievalPredictor(batch_size=1)(model, dataset)
    assert predictions["same_caption"].tolist() == [0, 1, 0]
    vectors = predictions["text_vectors"]
    assert np.array_equal(vectors[0], vectors[2])
    assert RetrievalMetric()(predictions)["protocol"]["captions_of_several_videos"] == 2


@pytest.mark.faults
def test_videos_without_features_are_an_error_or_stay_in_the_pool(
    model: MultimodalModel, layout: VideoTextLayout
):
    pairs, texts = [("gone", "a"), ("v3", "b"), ("v4", "c")], {"a": [[5]], "b": [[6]], "c": [[7]]}
    aligner = PairAligner(layout=layout)
    with pytest.raises(DataError, match="1 videos have no features, .*: gone"):
        dataset_of(pairs, texts, aligner)
    dataset = dataset_of(pairs, texts, aligner, allow_missing=True)
    predictions = RetrievalPredictor()(model, dataset)
    assert predictions["video_ids"].tolist() == ["gone", "v3", "v4"]
    assert predictions["scored_videos"].tolist() == ["v3", "v4"]
    assert predictions["scored_texts"].tolist() == ["b", "c"]
    with pytest.raises(DataError, match="1 captions without a prediction: 'a'"):
        RetrievalMetric()(predictions)
    results = RetrievalMetric(allow_missing=True)(predictions)
    assert results["text_to_video"]["candidates"] == 3
    assert results["text_to_video"]["not_predicted"] == 1


@pytest.mark.faults
def test_nan_features_reach_the_metric_as_an_error(
    model: MultimodalModel, layout: VideoTextLayout, tmp_path: Path
):
    class Broken(Videos):
        def __call__(self, video_id: str) -> np.ndarray:
            rows = super().__call__(video_id)
            rows[0, 0] = np.nan if video_id == "v4" else 0
            return rows

    dataset = dataset_of(
        [("v3", "b"), ("v4", "c")], {"b": [[6]], "c": [[7]]}, PairAligner(layout=layout)
    )
    dataset.video_processor = Broken()
    predictions = RetrievalPredictor()(model, dataset)
    with pytest.raises(DataError, match="the vectors of 1 videos are not finite: 'v4'"):
        RetrievalMetric()(predictions)


def test_a_store_is_predicted_whole(
    model: MultimodalModel, layout: VideoTextLayout, tmp_path: Path
):
    with StoreWriter(tmp_path / "store", dim=DIM, fps=1.0, encoder={}) as writer:
        for steps in (1, MAX_VIDEO_LEN - 1, MAX_VIDEO_LEN, MAX_VIDEO_LEN + 1):
            writer.add(f"{steps} ü.mp4", np.ones((steps, DIM), np.float32))
    processor = StoreVideoProcessor(store=tmp_path / "store")
    ids = list(processor.store.ids)
    dataset = MultimodalDataset(
        meta_processor=ListedPairs([(name, name) for name in ids]),
        video_processor=processor,
        text_processor=ListedTexts({name: [[5]] for name in ids}),
        aligner=PairAligner(layout=layout),
    )
    vectors = by_id(RetrievalPredictor(batch_size=3)(model, dataset), "video")
    assert [*vectors] == ids
    # what is longer than the layout takes is cut
    longest, longer = f"{MAX_VIDEO_LEN} ü.mp4", f"{MAX_VIDEO_LEN + 1} ü.mp4"
    np.testing.assert_allclose(vectors[longest], vectors[longer], rtol=1e-4, atol=1e-6)


def test_what_cannot_be_predicted_is_an_error(model: MultimodalModel, layout: VideoTextLayout):
    aligner = PairAligner(layout=layout)
    with pytest.raises(ConfigError, match="batch_size is 0, but must be at least 1"):
        RetrievalPredictor(batch_size=0)
    twice = dataset_of([("v3", "a"), ("v4", "a")], {"a": [[5]]}, aligner)
    with pytest.raises(DataError, match="the split lists the caption 'a' twice"):
        RetrievalPredictor()(model, twice)
    with pytest.raises(DataError, match="the split has no caption"):
        RetrievalPredictor()(model, dataset_of([("v3", "a")], {"a": []}, aligner))
    headless = MultimodalModel({}, model.trunk, NoVectors())
    with pytest.raises(
        ConfigError, match="needs pooled_video and pooled_text, but NoVectors produces logits"
    ):
        RetrievalPredictor()(headless, twice)
