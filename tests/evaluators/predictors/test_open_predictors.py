"""Highlights and actions told by a model that nobody trained for them, but that knows the words.

Features of the stand-ins are sums of one direction a word, and so are the states of texts here:
such a model finds everything, so that any slip of place, order or window shows in the figures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError
from mmvt.evaluators.metrics.action import ActionRecognitionMetric
from mmvt.evaluators.metrics.highlight import HighlightMetric
from mmvt.evaluators.predictors.action import ActionRecognitionPredictor
from mmvt.evaluators.predictors.highlight import (
    HighlightPredictor,
    clip_means,
    stretches_above_mean,
)
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.choice import MultipleChoiceAligner
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.meta.hmdb51 import HMDB51MetaProcessor
from mmvt.processors.meta.qvhighlights import QVHighlightsMetaProcessor
from mmvt.processors.text.hmdb51 import HMDB51TextProcessor
from mmvt.processors.text.qvhighlights import QVHighlightsTextProcessor
from mmvt.processors.video.store import StoreVideoProcessor
from tests.knowing import knowing_model
from tests.standins import built, write_hmdb51, write_qvhighlights

V = 16


def knowing(folder: Path) -> MultimodalModel:
    return knowing_model(folder, ContrastiveHead(normalize=True))


def paired(fields: dict[str, Any], meta: type, text: type, **more: Any) -> MultimodalDataset:
    layout = VideoTextLayout(max_video_len=V, max_len=V + 20, bert_name=fields["bert_name"])
    return MultimodalDataset(
        meta_processor=built(meta, fields, **more),
        video_processor=built(StoreVideoProcessor, fields),
        text_processor=built(text, fields),
        aligner=PairAligner(layout=layout),
        split="test",
        allow_missing=True,
    )


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    fields = write_qvhighlights(tmp_path_factory.mktemp("qvhighlights"))
    del fields["test_path"]  # it has no labels
    return fields


def dataset_of_queries(fields: dict[str, Any]) -> MultimodalDataset:
    return paired(fields, QVHighlightsMetaProcessor, QVHighlightsTextProcessor, split="test")


def highlight_predictor(fields: dict[str, Any], **more: Any) -> HighlightPredictor:
    sizes = {"max_video_len": V, "sliding_window": 4, "sliding_window_size": V, **more}
    return HighlightPredictor(bert_name=fields["bert_name"], **sizes)


def test_the_windows_and_clips_that_fit_a_query_are_found(queries: dict[str, Any], tmp_path: Path):
    dataset, model = dataset_of_queries(queries), knowing(tmp_path)
    predictions = highlight_predictor(queries)(model, dataset)
    results = HighlightMetric()(predictions)
    assert results["windows"]["full"]["R1@0.7"] == 1
    assert results["clips"]["VeryGood"]["Hit@1"] == 1
    assert results["protocol"]["queries"] == len(dataset) == 4
    first = predictions["scored_windows"][0].tolist()
    assert first == predictions["windows"][0].tolist()
    assert len(predictions["clip_scores"]) == 4 * 75
    alone = highlight_predictor(queries, batch_size=1)(model, dataset)
    np.testing.assert_allclose(alone["clip_scores"], predictions["clip_scores"], atol=1e-5)


def test_clips_need_steps_of_a_steady_rate_and_a_length(queries: dict[str, Any], tmp_path: Path):
    dataset = dataset_of_queries(queries)
    with pytest.raises(ConfigError, match=r"clip_seconds is 0\.0, but must be above 0"):
        highlight_predictor(queries, clip_seconds=0.0)
    with pytest.raises(ConfigError, match="at most sliding_window_size 17"):
        highlight_predictor(queries, sliding_window_size=17)(knowing(tmp_path), dataset)
    dataset.video_processor.fps = 0
    with pytest.raises(ConfigError, match="a steady number of steps a second"):
        highlight_predictor(queries)(knowing(tmp_path), dataset)


def test_a_clip_scores_the_mean_of_its_steps_and_one_behind_the_video_that_of_its_end():
    steps = np.array([1.0, 3.0, 5.0, 7.0, 8.0])
    assert clip_means(steps, 2.0, 4).tolist() == [2.0, 6.0, 8.0, 8.0]
    assert clip_means(steps, 1.0, 5).tolist() == steps.tolist()
    assert clip_means(steps, 0.5, 4).tolist() == [1.0, 1.0, 3.0, 3.0]
    assert clip_means(steps, 1.5, 2).tolist() == [1.0, 4.0]
    assert clip_means(steps[:1], 2.0, 0).tolist() == []


def test_windows_are_stretches_above_the_mean_and_the_largest_sum_comes_first():
    scores = np.array([5.0, 0.0, 4.0, 4.0, 0.0, 0.0, 0.0, 3.0])  # mean 2
    assert stretches_above_mean(scores).tolist() == [[2, 4], [0, 1], [7, 8]]
    assert stretches_above_mean(np.array([1.0, 1.0, 1.0])).tolist() == [[0, 3]]
    assert stretches_above_mean(np.array([0.0, 1.0])).tolist() == [[1, 2]]


@pytest.fixture(scope="module")
def actions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_hmdb51(tmp_path_factory.mktemp("hmdb51"))


def test_every_action_is_told_by_its_name_on_all_splits(actions: dict[str, Any], tmp_path: Path):
    dataset = paired(actions, HMDB51MetaProcessor, HMDB51TextProcessor, split="test")
    predictions = ActionRecognitionPredictor(batch_size=5)(knowing(tmp_path), dataset)
    results = ActionRecognitionMetric()(predictions)
    assert results["accuracy_of_splits"] == [1, 1, 1]
    assert results["protocol"]["tested_clips"] == [4, 4, 4]
    assert predictions["scores"].shape == (12, 4)


def test_a_model_of_one_split_is_evaluated_on_it_alone(actions: dict[str, Any], tmp_path: Path):
    dataset = paired(actions, HMDB51MetaProcessor, HMDB51TextProcessor, split="test", fold=3)
    predictions = ActionRecognitionPredictor(fold=3)(knowing(tmp_path), dataset)
    results = ActionRecognitionMetric()(predictions)
    assert results["accuracy_of_splits"] == [1]
    assert results["protocol"]["tested_clips"] == [4]


def test_other_aligners_and_texts_are_refused(
    actions: dict[str, Any], queries: dict[str, Any], tmp_path: Path
):
    model, dataset = knowing(tmp_path), dataset_of_queries(queries)
    with pytest.raises(ConfigError, match="needs ClassClips, but the text processor gives Highli"):
        ActionRecognitionPredictor()(model, dataset)
    dataset.aligner = MultipleChoiceAligner(layout=dataset.aligner.layout)
    with pytest.raises(ConfigError, match="no pairs of a video and a query; use SampledAligner"):
        highlight_predictor(queries)(model, dataset)
    with pytest.raises(ConfigError, match="no pairs of a clip and a text; use PairAligner"):
        ActionRecognitionPredictor()(model, dataset)
