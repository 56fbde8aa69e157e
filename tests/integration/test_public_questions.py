"""Public files of questions, whole: through a small untrained model to a metric."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.evaluators.metrics.answer import AnswerMetric
from mmvt.evaluators.metrics.choice import MultipleChoiceMetric
from mmvt.evaluators.predictors.question import AnswerPredictor, OptionPredictor
from mmvt.processors.aligners.question import QuestionAligner
from mmvt.processors.base import MetaProcessor, TextProcessor, VideoProcessor
from mmvt.processors.meta.activitynet_qa import ActivityNetQAMetaProcessor
from mmvt.processors.meta.nextqa import NExTQAMetaProcessor
from mmvt.processors.text.questions import ActivityNetQATextProcessor, NExTQATextProcessor
from tests.asking import DIM, layout_of, model_of, words_in

pytestmark = pytest.mark.slow
PUBLISHED = {
    "C": 2607,
    "CW": 1924,
    "CH": 683,
    "T": 1612,
    "TN": 895,
    "TC": 663,
    "TP": 54,
    "D": 777,
    "DO": 305,
    "DL": 295,
    "DC": 177,
}


class SameVideoProcessor(VideoProcessor):
    """Every video shows the same."""

    def __call__(self, video_id: str) -> np.ndarray:
        return np.ones((2, DIM), np.float32)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def dataset_of(meta: MetaProcessor, texts: TextProcessor, bert_name: str) -> MultimodalDataset:
    layout = layout_of(bert_name, max_prompt_len=64, max_text_len=32)
    return MultimodalDataset(
        meta_processor=meta,
        video_processor=SameVideoProcessor(),
        text_processor=texts,
        aligner=QuestionAligner(layout=layout, bert_name=bert_name),
        split="valid",
    )


def test_nextqa_is_scored_by_its_published_groups(shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / "annotations" / "NExT-QA__dataset_nextqa_val.csv"
    bert_name = words_in(tmp_path)
    meta = NExTQAMetaProcessor(split="valid", val_path=path)
    texts = NExTQATextProcessor(bert_name=bert_name, val_path=path)
    dataset = dataset_of(meta, texts, bert_name)
    predictions = OptionPredictor(batch_size=128)(model_of("t5"), dataset)
    results = MultipleChoiceMetric()(predictions)
    assert (results["questions"], results["chance"]) == (4996, pytest.approx(0.2))
    for found in (results, results["question_only"], results["answer_only"]):
        counts = {name: group["questions"] for name, group in found["groups"].items()}
        assert counts == PUBLISHED
        assert 0 < found["accuracy"] < 0.4


def test_activitynet_qa_is_scored_by_its_types(shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / "annotations" / "activitynet-qa__dataset_val_q.json"
    bert_name = words_in(tmp_path)
    meta = ActivityNetQAMetaProcessor(split="valid", val_path=path)
    texts = ActivityNetQATextProcessor(bert_name=bert_name, val_path=path)
    dataset = dataset_of(meta, texts, bert_name)
    predictor = AnswerPredictor(batch_size=512, max_decode_length=3)
    results = AnswerMetric()(predictor(model_of("t5"), dataset))
    assert results["questions"] == 18000
    assert results["groups"]["yes/no"]["questions"] == 4041
    assert results.keys() >= {"question_only", "answer_only"}
