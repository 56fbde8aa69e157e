from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.metrics.choice import MultipleChoiceMetric
from mmvt.evaluators.predictors.choice import MultipleChoicePredictor, beside_video
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.heads.segmentation import SegmentationHead
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.choice import MultipleChoiceAligner
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.meta.msrvtt import MSRVTTChoiceMetaProcessor
from mmvt.processors.text.msrvtt import MSRVTTChoiceTextProcessor
from mmvt.processors.video.store import StoreVideoProcessor
from tests.knowing import knowing_model
from tests.standins import built, write_msrvtt

V = 16


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    fields = write_msrvtt(tmp_path_factory.mktemp("msrvtt"))
    return {**fields, "test_path": fields["choice_path"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MultimodalModel:
    return knowing_model(tmp_path_factory.mktemp("words"), ContrastiveHead(normalize=True))


def dataset_of(fields: Mapping[str, Any], max_len: int = V + 20) -> MultimodalDataset:
    paths = {"bert_name": fields["bert_name"], "test_path": fields["test_path"]}
    layout = VideoTextLayout(max_video_len=V, max_len=max_len, bert_name=fields["bert_name"])
    return MultimodalDataset(
        meta_processor=built(MSRVTTChoiceMetaProcessor, paths, split="test"),
        video_processor=built(StoreVideoProcessor, dict(fields)),
        text_processor=built(MSRVTTChoiceTextProcessor, paths),
        aligner=MultipleChoiceAligner(layout=layout),
        split="test",
        allow_missing=True,
    )


def test_the_right_answer_of_every_question_is_found(
    fields: dict[str, Any], model: MultimodalModel
):
    dataset = dataset_of(fields)
    predictions = MultipleChoicePredictor()(model, dataset)
    assert predictions["scores"].shape == (8, 5)
    assert predictions["scored_ids"].tolist() == predictions["ids"].tolist()
    assert predictions["answers"].tolist() == [n % 5 for n in range(8)]
    assert MultipleChoiceMetric()(predictions)["accuracy"] == 1


@pytest.mark.parametrize("size", [1, 3, 8, 9])
def test_the_size_of_a_batch_changes_no_score(
    fields: dict[str, Any], model: MultimodalModel, size: int
):
    dataset = dataset_of(fields)
    expected = MultipleChoicePredictor()(model, dataset)
    found = MultipleChoicePredictor(batch_size=size)(model, dataset)
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-5)
    assert found["scored_ids"].tolist() == expected["scored_ids"].tolist()


def test_padding_changes_no_score(fields: dict[str, Any], model: MultimodalModel):
    short = MultipleChoicePredictor()(model, dataset_of(fields))
    long = MultipleChoicePredictor()(model, dataset_of(fields, V + 60))
    np.testing.assert_allclose(short["scores"], long["scores"], rtol=1e-5)


def test_a_video_without_features_is_not_predicted(
    fields: dict[str, Any], model: MultimodalModel, tmp_path: Path
):
    lines = Path(fields["test_path"]).read_text().splitlines()
    gone = "\t".join(["msr999", *lines[1].split("\t")[1:]])
    path = tmp_path / "choice.csv"
    path.write_text("\n".join([lines[0], gone, *lines[1:]]) + "\n")
    predictions = MultipleChoicePredictor()(model, dataset_of({**fields, "test_path": str(path)}))
    assert len(predictions["ids"]) == len(predictions["answers"]) == 9
    assert predictions["scored_ids"].tolist() == predictions["ids"].tolist()[1:]
    with pytest.raises(DataError, match="1 questions without a prediction"):
        MultipleChoiceMetric()(predictions)
    assert MultipleChoiceMetric(allow_missing=True)(predictions)["accuracy"] == 8 / 9


def test_each_answer_is_beside_its_own_video():
    examples = [
        {
            "vfeats": torch.full((2, 3), float(n)),
            "vmasks": torch.tensor([True, n == 1]),
            "caps": torch.full((answers, 4), n),
            "cmasks": torch.ones(answers, 4, dtype=torch.bool),
        }
        for n, answers in enumerate([2, 3])
    ]
    batch = beside_video(examples)
    assert batch["vfeats"][:, 0, 0].tolist() == batch["caps"][:, 0].tolist() == [0, 0, 1, 1, 1]
    assert batch["vmasks"].tolist() == [[True, False]] * 2 + [[True, True]] * 3


def test_a_head_without_vectors_is_refused(fields: dict[str, Any], tmp_path: Path):
    model = knowing_model(tmp_path, SegmentationHead(hidden_size=4, num_classes=2))
    with pytest.raises(ConfigError, match="needs pooled_video and pooled_text, but"):
        MultipleChoicePredictor()(model, dataset_of(fields))


def test_an_impossible_batch_size_is_refused():
    with pytest.raises(ConfigError, match="batch_size is 0, but must be at least 1"):
        MultipleChoicePredictor(batch_size=0)
