from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.metrics.moment import MomentMetric
from mmvt.evaluators.predictors.moment import MomentPredictor
from mmvt.evaluators.predictors.segments import chunk_segments
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.heads.localization import StepLocalizationHead
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.moment import MomentAligner
from mmvt.processors.base import VideoProcessor
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.meta.didemo import DiDeMoMetaProcessor
from mmvt.processors.text.didemo import DiDeMoTextProcessor
from mmvt.processors.video.store import StoreVideoProcessor
from tests.knowing import knowing_model
from tests.standins import built, write_didemo

SECONDS = 30


class Only(VideoProcessor):
    """Some of the videos of another processor, cut short where asked for."""

    def __init__(self, videos: VideoProcessor, gone: str, length: int | None = None) -> None:
        self.videos, self.gone, self.length, self.fps = videos, gone, length, videos.fps

    def __contains__(self, video_id: str) -> bool:
        return video_id != self.gone

    def __call__(self, video_id: str) -> np.ndarray:
        return self.videos(video_id)[: self.length]


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_didemo(tmp_path_factory.mktemp("didemo"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MultimodalModel:
    return knowing_model(tmp_path_factory.mktemp("words"), ContrastiveHead(normalize=True))


def dataset_of(
    fields: dict[str, Any], *, room: int = SECONDS, gone: str = "", length: int | None = None
) -> MultimodalDataset:
    """Return eight sentences about four videos of 30 s."""
    layout = VideoTextLayout(max_video_len=room, max_len=room + 30, bert_name=fields["bert_name"])
    videos = built(StoreVideoProcessor, fields)
    return MultimodalDataset(
        meta_processor=built(DiDeMoMetaProcessor, fields, split="test"),
        video_processor=Only(videos, gone, length),
        text_processor=built(DiDeMoTextProcessor, fields),
        aligner=MomentAligner(layout=layout),
        split="test",
        allow_missing=True,
    )


def test_every_sentence_is_found_where_three_of_four_people_see_it(
    fields: dict[str, Any], model: MultimodalModel
):
    predictions = MomentPredictor()(model, dataset_of(fields))
    results = MomentMetric()(predictions)
    assert (results["Rank@1"], results["mIoU"]) == (1, 1)
    protocol = results["protocol"]
    assert (protocol["sentences"], protocol["annotations"], protocol["segments"]) == (8, 32, 21)
    assert predictions["scores"].shape == (8, 21)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_size_of_batches_changes_nothing(
    batch_size: int, fields: dict[str, Any], model: MultimodalModel
):
    one, all_ = (
        MomentPredictor(batch_size=size)(model, dataset_of(fields)) for size in (batch_size, 64)
    )
    assert one["scored_ids"].tolist() == all_["scored_ids"].tolist()
    np.testing.assert_allclose(one["scores"], all_["scores"], atol=1e-6)


def test_a_score_is_the_similarity_of_the_mean_state_of_a_segment(
    fields: dict[str, Any], model: MultimodalModel
):
    dataset = dataset_of(fields)
    scores = MomentPredictor()(model, dataset)["scores"][0]
    frames = dataset.video_processor(dataset.ids_of(0)[0]).astype(float)
    means = np.stack([frames[5 * a : 5 * (b + 1)].mean(axis=0) for a, b in chunk_segments()])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    # some vector of the sentence explains all 21
    text = np.linalg.lstsq(means, scores, rcond=None)[0]
    np.testing.assert_allclose(means @ text, scores, atol=1e-5)
    assert scores.argmax() == chunk_segments().index((0, 0))
    assert np.abs(scores).max() <= 1 + 1e-6


@pytest.mark.parametrize(("length", "chunks"), [(1, 1), (5, 1), (6, 2), (25, 5), (26, 6), (30, 6)])
def test_segments_that_begin_behind_the_video_cannot_be_right(
    length: int, chunks: int, fields: dict[str, Any], model: MultimodalModel
):
    scores = MomentPredictor()(model, dataset_of(fields, length=length))["scores"]
    begun = np.array([first < chunks for first, _ in chunk_segments()])
    assert (np.isneginf(scores) == ~begun).all()


def test_sentences_about_a_video_without_features_are_not_found(
    fields: dict[str, Any], model: MultimodalModel
):
    gone = dataset_of(fields).ids_of(0)[0]
    predictions = MomentPredictor()(model, dataset_of(fields, gone=gone))
    assert (len(predictions["ids"]), len(predictions["scored_ids"])) == (8, 6)
    with pytest.raises(DataError, match="2 sentences without a prediction"):
        MomentMetric()(predictions)
    results = MomentMetric(allow_missing=True)(predictions)
    assert (results["Rank@1"], results["protocol"]["missing_sentences"]) == (0.75, 2)


def test_six_chunks_must_fit_into_the_sequence(fields: dict[str, Any], model: MultimodalModel):
    with pytest.raises(ConfigError, match="6 chunks of 5 steps do not fit into max_video_len 29"):
        MomentPredictor()(model, dataset_of(fields, room=29))


def test_other_heads_and_batches_are_refused(fields: dict[str, Any], tmp_path: Path):
    with pytest.raises(ConfigError, match="needs pooled_text, but Words and StepLocalizationHead"):
        MomentPredictor()(knowing_model(tmp_path, StepLocalizationHead()), dataset_of(fields))
    with pytest.raises(ConfigError, match="batch_size is 0, but must be at least 1"):
        MomentPredictor(batch_size=0)


def test_a_model_that_sees_both_at_once_is_refused(fields: dict[str, Any], tmp_path: Path):
    joint = knowing_model(tmp_path, ContrastiveHead())
    joint.trunk.encodes_apart = False
    with pytest.raises(ConfigError, match="lets video and text see each other"):
        MomentPredictor()(joint, dataset_of(fields))
