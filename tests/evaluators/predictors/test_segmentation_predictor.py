from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.metrics.segmentation import SegmentationMetric
from mmvt.evaluators.predictors.segmentation import (
    SegmentationPredictor,
    ZeroShotSegmentationPredictor,
)
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.heads.segmentation import SegmentationHead
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.aligners.segmentation import SegmentationAligner
from mmvt.processors.base import VideoProcessor
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.meta.coin import COINMetaProcessor
from mmvt.processors.text.coin import COINTextProcessor
from mmvt.processors.text.json_file import JSONTextProcessor
from mmvt.processors.video.store import StoreVideoProcessor
from tests.corpus import DIM
from tests.knowing import knowing_model
from tests.standins import built, write_coin

V, CLASSES = 16, 5
LABELS = ["cut the ball", "pour the box", "stir the cone", "bake the star"]


class Without(VideoProcessor):
    """The videos of another processor, but one."""

    def __init__(self, videos: VideoProcessor, gone: str) -> None:
        self.videos, self.gone, self.fps = videos, gone, videos.fps

    def __contains__(self, video_id: str) -> bool:
        return video_id != self.gone

    def __call__(self, video_id: str) -> np.ndarray:
        return self.videos(video_id)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_coin(tmp_path_factory.mktemp("coin"))


@pytest.fixture(scope="module")
def zero_shot(tmp_path_factory: pytest.TempPathFactory) -> MultimodalModel:
    return knowing_model(tmp_path_factory.mktemp("words"), ContrastiveHead(normalize=True))


@pytest.fixture(scope="module")
def trained(fields: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> MultimodalModel:
    """A linear layer that tells the classes from the features of the stand-in."""
    head = SegmentationHead(hidden_size=DIM, num_classes=CLASSES)
    dataset = dataset_of(fields)
    rows, classes = [], []
    for index in range(len(dataset)):
        example = dataset[index]
        rows.append(torch.from_numpy(dataset.video_processor(example["video_id"]).copy()).double())
        classes.append(example["video_targets"])
    states = torch.cat([torch.cat(rows), torch.ones(sum(map(len, rows)), 1).double()], dim=1)
    wanted = torch.nn.functional.one_hot(torch.cat(classes), CLASSES).double()
    solved = torch.linalg.pinv(states) @ wanted
    with torch.no_grad():
        head.classifier.weight.copy_(solved[:-1].T)
        head.classifier.bias.copy_(solved[-1])
    return knowing_model(tmp_path_factory.mktemp("words"), head)


def dataset_of(
    fields: dict[str, Any], stride: int = 8, gone: str | None = None
) -> MultimodalDataset:
    layout = VideoTextLayout(max_video_len=V, max_len=V + 20, bert_name=fields["bert_name"])
    sizes = {"max_video_len": V, "sliding_window": stride, "sliding_window_size": V}
    videos: VideoProcessor = built(StoreVideoProcessor, fields)
    return MultimodalDataset(
        meta_processor=built(COINMetaProcessor, fields, split="test"),
        video_processor=Without(videos, gone) if gone else videos,
        text_processor=built(COINTextProcessor, fields),
        aligner=SegmentationAligner(layout=layout, bert_name=fields["bert_name"], **sizes),
        split="test",
        allow_missing=gone is not None,
    )


def test_classes_of_whole_videos_are_predicted_step_by_step(
    fields: dict[str, Any], trained: MultimodalModel
):
    dataset = dataset_of(fields)
    predictions = SegmentationPredictor()(trained, dataset)
    # videos of 42, 44 and 46 seconds, longer than a window
    assert predictions["frames"].tolist() == [42, 44, 46]
    expected = np.concatenate([dataset[index]["video_targets"] for index in range(3)])
    assert predictions["targets"].tolist() == expected.tolist()
    assert predictions["classes"].shape == (42 + 44 + 46,)
    found = SegmentationMetric(background=0)(predictions)
    assert found["frame_accuracy"] > 0.95


@pytest.mark.parametrize(("size", "stride"), [(1, 8), (2, 8), (3, 5), (4, 16)])
def test_batches_change_no_class_and_neither_do_windows_of_frames_seen_alone(
    fields: dict[str, Any], trained: MultimodalModel, size: int, stride: int
):
    expected = SegmentationPredictor()(trained, dataset_of(fields))
    found = SegmentationPredictor(batch_size=size)(trained, dataset_of(fields, stride))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_labels_are_told_by_their_texts_alone(fields: dict[str, Any], zero_shot: MultimodalModel):
    predictions = ZeroShotSegmentationPredictor()(zero_shot, dataset_of(fields))
    found = SegmentationMetric(background=0)(predictions)
    assert found["frame_accuracy_without_background"] > 0.8
    assert set(predictions["classes"].tolist()) <= set(range(CLASSES))


@pytest.mark.parametrize("size", [1, 3])
def test_batches_change_no_label(fields: dict[str, Any], zero_shot: MultimodalModel, size: int):
    expected = ZeroShotSegmentationPredictor()(zero_shot, dataset_of(fields))
    predictor = ZeroShotSegmentationPredictor(batch_size=size, label_batch_size=size)
    found = predictor(zero_shot, dataset_of(fields))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_video_without_features_counts_up_to_the_end_of_its_last_part(
    fields: dict[str, Any], trained: MultimodalModel
):
    gone = "coin_07-x"
    predictions = SegmentationPredictor()(trained, dataset_of(fields, gone=gone))
    assert predictions["scored_ids"].tolist() == ["coin_06-x", "coin_08-x"]
    # its last part ends at 2.5 + 18 + 5.25 seconds
    assert predictions["frames"].tolist() == [42, 26, 46]
    assert len(predictions["targets"]) == 42 + 26 + 46
    with pytest.raises(DataError, match=f"1 videos without a prediction: '{gone}'"):
        SegmentationMetric()(predictions)
    found = SegmentationMetric(allow_missing=True)(predictions)
    assert found["frame_accuracy"] <= (42 + 46) / (42 + 26 + 46)


def test_what_the_model_lacks_is_named(
    fields: dict[str, Any], zero_shot: MultimodalModel, trained: MultimodalModel
):
    with pytest.raises(ConfigError, match="SegmentationPredictor needs logits, but"):
        SegmentationPredictor()(zero_shot, dataset_of(fields))
    with pytest.raises(ConfigError, match="ZeroShotSegmentationPredictor needs pooled_text, but"):
        ZeroShotSegmentationPredictor()(trained, dataset_of(fields))


def test_an_aligner_without_windows_is_refused(
    fields: dict[str, Any], zero_shot: MultimodalModel, trained: MultimodalModel
):
    dataset = dataset_of(fields)
    layout = VideoTextLayout(max_video_len=V, max_len=V + 20, bert_name=fields["bert_name"])
    dataset.aligner = PairAligner(layout=layout)
    for predictor, model in (
        (SegmentationPredictor(), trained),
        (ZeroShotSegmentationPredictor(), zero_shot),
    ):
        with pytest.raises(ConfigError, match="which PairAligner does not make; use Segmentation"):
            predictor(model, dataset)


def test_a_text_processor_without_labels_is_refused(
    fields: dict[str, Any], zero_shot: MultimodalModel, tmp_path: Path
):
    captions = tmp_path / "captions.json"
    captions.write_text("{}")
    dataset = dataset_of(fields)
    dataset.text_processor = JSONTextProcessor(annotations=captions, bert_name=fields["bert_name"])
    with pytest.raises(ConfigError, match="JSONTextProcessor has no texts of labels"):
        ZeroShotSegmentationPredictor()(zero_shot, dataset)


@pytest.mark.parametrize("option", ["batch_size", "label_batch_size"])
def test_impossible_sizes_are_refused(option: str):
    with pytest.raises(ConfigError, match="batch_size is 0, but must be at least 1"):
        ZeroShotSegmentationPredictor(**{option: 0})
