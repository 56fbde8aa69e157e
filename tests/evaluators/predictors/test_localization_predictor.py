from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.metrics.localization import StepRecallMetric
from mmvt.evaluators.predictors.localization import StepLocalizationPredictor
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.heads.localization import StepLocalizationHead
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.localization import StepLocalizationAligner
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.base import VideoProcessor
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.meta.crosstask import CrossTaskMetaProcessor
from mmvt.processors.text.crosstask import CrossTaskTextProcessor
from mmvt.processors.video.store import StoreVideoProcessor
from tests.knowing import knowing_model
from tests.standins import built, write_crosstask

V = 16
# the test has two videos of each of two tasks, of three and of two steps, 44 and 45 s long
VIDEOS = ["v23521_4", "v23521_5", "v59684_4", "v59684_5"]


class Only(VideoProcessor):
    """Some of the videos of another processor, cut short where asked for."""

    def __init__(self, videos: VideoProcessor, kept: list[str], length: int | None = None) -> None:
        self.videos, self.kept, self.length, self.fps = videos, kept, length, videos.fps

    def __contains__(self, video_id: str) -> bool:
        return video_id in self.kept

    def __call__(self, video_id: str) -> np.ndarray:
        return self.videos(video_id)[: self.length]


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_crosstask(tmp_path_factory.mktemp("crosstask"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MultimodalModel:
    return knowing_model(tmp_path_factory.mktemp("words"), StepLocalizationHead())


def dataset_of(fields: dict[str, Any], stride: int = 8) -> MultimodalDataset:
    layout = VideoTextLayout(max_video_len=V, max_len=V + 20, bert_name=fields["bert_name"])
    sizes = {"max_video_len": V, "sliding_window": stride, "sliding_window_size": V}
    return MultimodalDataset(
        meta_processor=built(CrossTaskMetaProcessor, fields, split="test"),
        video_processor=built(StoreVideoProcessor, fields),
        text_processor=built(CrossTaskTextProcessor, fields),
        aligner=StepLocalizationAligner(layout=layout, bert_name=fields["bert_name"], **sizes),
        split="test",
    )


def with_videos(
    fields: dict[str, Any], kept: list[str], length: int | None = None
) -> MultimodalDataset:
    whole = dataset_of(fields)
    return MultimodalDataset(
        meta_processor=whole.meta_processor,
        video_processor=Only(whole.video_processor, kept, length),
        text_processor=whole.text_processor,
        aligner=whole.aligner,
        split="test",
        allow_missing=True,
    )


@pytest.mark.parametrize("stride", [8, 16])
def test_every_step_is_found_in_a_second_in_which_it_is_done(
    stride: int, fields: dict[str, Any], model: MultimodalModel
):
    predictions = StepLocalizationPredictor()(model, dataset_of(fields, stride))
    results = StepRecallMetric()(predictions)
    assert results["tasks"] == {"23521": 1, "59684": 1}
    assert results["protocol"]["steps_present"] == 3 + 3 + 2 + 2
    assert predictions["frames"].tolist() == [44, 45, 44, 45]
    assert predictions["steps"].tolist() == [3, 3, 2, 2]


def test_each_step_has_one_second_and_steps_are_in_order(
    fields: dict[str, Any], model: MultimodalModel
):
    predictions = StepLocalizationPredictor()(model, dataset_of(fields))
    first = predictions["assigned"][: 44 * 3].reshape(44, 3)
    assert first.sum(axis=0).tolist() == [1, 1, 1]
    seconds = first.argmax(axis=0)
    assert (np.diff(seconds) > 0).all()


def test_seconds_are_true_from_the_one_a_step_starts_in_to_the_one_it_ends_in(
    fields: dict[str, Any], model: MultimodalModel
):
    predictions = StepLocalizationPredictor()(model, dataset_of(fields))
    # 3.5 to 7.25 s, 12.5 to 16.25 s, 21.5 to 25.25 s
    truth = predictions["targets"][: 44 * 3].reshape(44, 3)
    for step, (start, end) in enumerate([(3, 8), (12, 17), (21, 26)]):
        assert np.flatnonzero(truth[:, step]).tolist() == list(range(start, end))


def test_windows_far_apart_or_close_by_agree_where_the_model_sees_no_context(
    fields: dict[str, Any], model: MultimodalModel
):
    close, apart = (
        StepLocalizationPredictor()(model, dataset_of(fields, stride)) for stride in (3, 16)
    )
    assert np.array_equal(close["assigned"], apart["assigned"])


def test_a_video_without_features_misses_its_steps(fields: dict[str, Any], model: MultimodalModel):
    predictions = StepLocalizationPredictor()(model, with_videos(fields, VIDEOS[1:]))
    # as many seconds as it takes to the end of the last step, 25.25
    assert predictions["frames"].tolist() == [26, 45, 44, 45]
    with pytest.raises(DataError, match="1 videos without a prediction: '23521_v23521_4'"):
        StepRecallMetric()(predictions)
    results = StepRecallMetric(allow_missing=True)(predictions)
    assert results["tasks"] == {"23521": 0.5, "59684": 1}
    assert results["protocol"]["missing_videos"] == 1


@pytest.mark.parametrize("seconds", [1, 2, 3, 4])
def test_a_video_shorter_than_its_steps_has_none(
    seconds: int, fields: dict[str, Any], model: MultimodalModel
):
    predictions = StepLocalizationPredictor()(model, with_videos(fields, VIDEOS, seconds))
    assert predictions["frames"].tolist() == [seconds] * 4
    assigned = {1: 0, 2: 2 + 2, 3: 3 + 3 + 2 + 2, 4: 3 + 3 + 2 + 2}
    assert predictions["assigned"].sum() == assigned[seconds]


def test_other_aligners_and_heads_are_refused(
    fields: dict[str, Any], model: MultimodalModel, tmp_path: Path
):
    dataset = dataset_of(fields)
    with pytest.raises(ConfigError, match="needs logits, but Words and ContrastiveHead produce"):
        StepLocalizationPredictor()(knowing_model(tmp_path, ContrastiveHead()), dataset)
    dataset.aligner = PairAligner(layout=dataset.aligner.layout)
    with pytest.raises(ConfigError, match="PairAligner does not make; use StepLocalization"):
        StepLocalizationPredictor()(model, dataset)


def test_a_model_without_numbers_is_an_error(fields: dict[str, Any], tmp_path: Path):
    broken = knowing_model(tmp_path, StepLocalizationHead())
    torch.nn.init.constant_(broken.trunk.words.weight, torch.nan)
    with pytest.raises(DataError, match="no finite number"):
        StepLocalizationPredictor()(broken, dataset_of(fields))
