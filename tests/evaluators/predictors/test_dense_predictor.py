"""Dense captioning whole: a small T5 learns what is shown when, writes it, and is scored."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.metrics.dense import DenseCaptionMetric
from mmvt.evaluators.predictors.dense import DenseCaptionPredictor
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.language import LanguageHead
from mmvt.models.model import MultimodalModel
from mmvt.models.t5 import T5Trunk
from mmvt.processors.aligners.dense import DenseCaptionAligner
from mmvt.processors.base import TextClips, VideoProcessor
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.meta.captions import CaptionMetaProcessor
from mmvt.processors.prompts import PromptLayout
from mmvt.processors.text.captions import CaptionTextProcessor
from tests.asking import DIM, T5, WIDTH, learned
from tests.corpus import COLOURS, write_tokenizer

WORDS = ("a", "ball", "box", ";", *map(str, range(5)), *COLOURS)
VIDEOS = [f"v{number}" for number in range(8)]
END = 3  # [SEP]
RNG = np.random.default_rng(0)


class Shown(VideoProcessor):
    """Video vN shows colour N mod 4; a ball goes after two steps of eight, or else after six."""

    fps = 2.0

    def __contains__(self, video_id: str) -> bool:
        return video_id in VIDEOS

    def __call__(self, video_id: str) -> np.ndarray:
        number = int(video_id[1:])
        features = np.zeros((8, DIM), np.float32)
        features[:, number % 4] = 2
        features[: change_of(number) * 2, 4] = 2
        return features


def change_of(number: int) -> int:
    """Return the second at which the ball goes and the box comes; a video has four."""
    return 1 if number < 4 else 3


@pytest.fixture
def bert_name(tmp_path: Path) -> str:
    return str(write_tokenizer(tmp_path / "tokenizer", WORDS))


def dataset_of(folder: Path, bert_name: str, videos: list[str] = VIDEOS) -> MultimodalDataset:
    with (folder / "captions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["video", "caption", "start", "end", "split"])
        for video in videos:
            number = int(video[1:])
            colour, change = COLOURS[number % 4], change_of(number)
            table.writerow([video, f"a {colour} ball", 0, change, "train"])
            table.writerow([video, f"a {colour} box", change, 4, "train"])
    fields = {"annotations": folder / "captions.csv"}
    return MultimodalDataset(
        meta_processor=CaptionMetaProcessor(split="train", **fields),
        video_processor=Shown(),
        text_processor=CaptionTextProcessor(bert_name=bert_name, **fields),
        aligner=aligner_of(bert_name),
        allow_missing=True,
    )


def aligner_of(bert_name: str, **fields: Any) -> DenseCaptionAligner:
    layout = PromptLayout(max_video_len=8, max_text_len=16, max_prompt_len=2, bert_name=bert_name)
    return DenseCaptionAligner(layout=layout, bert_name=bert_name, **{"bins": 5, **fields})


def model_of() -> MultimodalModel:
    torch.manual_seed(0)
    trunk = T5Trunk(model_config={**T5, "vocab_size": 5 + len(WORDS)}, pretrained=False)
    encoder = VideoTokenMLP(hidden_size=WIDTH, input_dim=DIM)
    head = LanguageHead(hidden_size=WIDTH, transform=False)
    return MultimodalModel({"video": encoder}, trunk, head).eval()


def taught(dataset: MultimodalDataset, steps: int = 200) -> MultimodalModel:
    """Return a model that learned the examples of a dataset by heart."""
    return learned(model_of(), dataset, steps)


def test_a_model_learns_to_write_what_is_shown_when(tmp_path: Path, bert_name: str):
    dataset = dataset_of(tmp_path, bert_name)
    untaught = DenseCaptionPredictor(max_decode_length=16)(model_of(), dataset)
    said = DenseCaptionPredictor(max_decode_length=16)(taught(dataset), dataset)
    assert said["written"][0] == "0 1 a red ball ; 1 4 a red box"
    found = DenseCaptionMetric()(said)
    assert (found["precision"], found["recall"], found["problems"]) == (1.0, 1.0, {})
    # captions of four words and no more would have 1
    assert found["SODA_c"] == DenseCaptionMetric()(_perfect(said))["SODA_c"] > 0.5
    # what cannot be read is no caption, but counted
    nothing = DenseCaptionMetric()(untaught)
    assert nothing["SODA_c"] < found["SODA_c"] / 2
    pieces = len(untaught["hypotheses"]) + sum(nothing["problems"].values())
    assert pieces >= sum(bool(text.strip()) for text in untaught["written"])


def _perfect(said: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    names = (("ids", "ids"), ("times", "times"))
    same = {f"hypothesis_{own}": said[f"reference_{of}"] for own, of in names}
    return {**said, **same, "hypotheses": said["references"]}


def test_the_size_of_batches_changes_no_text(tmp_path: Path, bert_name: str):
    dataset, model = dataset_of(tmp_path, bert_name), model_of()
    one, three = (
        DenseCaptionPredictor(max_decode_length=12, batch_size=size)(model, dataset)
        for size in (1, 3)
    )
    assert one["written"].tolist() == three["written"].tolist()


def test_a_video_without_features_is_missing_and_its_references_count(
    tmp_path: Path, bert_name: str
):
    dataset = dataset_of(tmp_path, bert_name, [*VIDEOS[:2], "v9"])
    said = DenseCaptionPredictor(max_decode_length=4)(model_of(), dataset)
    assert said["scored_ids"].tolist() == ["v0", "v1"]
    assert said["reference_ids"].tolist() == ["v0", "v0", "v1", "v1", "v9", "v9"]
    with pytest.raises(DataError, match="1 videos without a prediction: 'v9'"):
        DenseCaptionMetric()(said)
    assert DenseCaptionMetric(allow_missing=True)(said)["protocol"]["missing_videos"] == 1


def test_captions_and_places_are_what_is_to_be_written(tmp_path: Path, bert_name: str):
    dataset = dataset_of(tmp_path, bert_name)
    label = dataset[5]["text_label"]
    tokens = dataset.text_processor.tokenizer.convert_ids_to_tokens(label[label >= 0].tolist())
    assert " ".join(tokens) == "0 3 a green ball ; 3 4 a green box [SEP]"
    assert not dataset[5]["cmasks"].any()


def test_a_long_video_is_thinned_and_a_long_text_has_no_end(bert_name: str):
    aligner = aligner_of(bert_name)
    features = np.arange(32, dtype=np.float32)[:, None]
    clips = TextClips(np.zeros(5), np.full(5, 32.0), [[]] * 5, texts=["a red box"] * 5)
    example = aligner("v", features, clips, RNG)
    assert example["vfeats"][:, 0].tolist() == [2.0, 6.0, 10.0, 14.0, 18.0, 22.0, 26.0, 30.0]
    assert (example["text_label"] >= 0).all()
    assert END not in example["text_label"].tolist()


def test_what_cannot_be_written_is_refused(tmp_path: Path, bert_name: str):
    aligner, features = aligner_of(bert_name), np.zeros((8, 1), np.float32)
    times = np.zeros(1), np.ones(1)
    with pytest.raises(ConfigError, match="knows no texts of captions to write"):
        aligner("v", features, TextClips(*times, [[7]]), RNG)
    clips = TextClips(*times, [[7]], texts=["a"])
    with pytest.raises(DataError, match="need times, and features with a steady number"):
        aligner("v", features, clips.scaled(0.0), RNG)
    with pytest.raises(DataError, match="a video of 0 s has no places"):
        aligner("v", features[:0], clips, RNG)
    layout = VideoTextLayout(max_video_len=2, max_len=9, bert_name=bert_name)
    with pytest.raises(ConfigError, match="needs the layout PromptLayout, not VideoTextLayout"):
        DenseCaptionAligner(layout=layout, bert_name=bert_name)


def test_a_predictor_needs_its_aligner_and_times(tmp_path: Path, bert_name: str):
    dataset = dataset_of(tmp_path, bert_name)
    dataset.video_processor.fps = 0.0
    with pytest.raises(DataError, match="times need features with a steady number of steps"):
        DenseCaptionPredictor()(model_of(), dataset)
    dataset.aligner = None  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="needs DenseCaptionAligner, not NoneType"):
        DenseCaptionPredictor()(model_of(), dataset)
