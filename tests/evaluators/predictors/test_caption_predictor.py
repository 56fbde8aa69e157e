from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.metrics.captions import CaptionMetric
from mmvt.evaluators.predictions import load_predictions, save_predictions
from mmvt.evaluators.predictors.caption import CaptionPredictor
from mmvt.losses.language import LanguageCrossEntropy
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.generation import Decoding, generate
from mmvt.models.heads.language import LanguageHead
from mmvt.models.joint import JointTrunk
from mmvt.models.model import MultimodalModel
from mmvt.models.t5 import T5Trunk
from mmvt.processors.aligners.captioning import CaptioningAligner
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.base import (
    Aligner,
    MetaProcessor,
    TextClips,
    TextProcessor,
    VideoProcessor,
)
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.prompts import PromptLayout
from mmvt.processors.text.captions import CaptionTextProcessor
from mmvt.processors.text.tokenizer import load_tokenizer
from tests.corpus import write_tokenizer

DIM, MAX_VIDEO_LEN, MAX_LEN = 6, 8, 24
CLS, SEP, PAD = 2, 3, 0


class ListedPairs(MetaProcessor):
    """Examples given one by one."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[str, Any]:
        return self.pairs[index]


class ListedTexts(TextProcessor):
    """Captions given as (start, end, text)."""

    def __init__(self, texts: Mapping[str, list[tuple[float, float, str]]], bert_name: str) -> None:
        self.texts = texts
        self.tokenizer = load_tokenizer(bert_name)

    def __call__(self, text_id: Any) -> TextClips:
        start, end, words = zip(*self.texts[text_id], strict=True)
        caps = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in words]
        return TextClips(np.array(start), np.array(end), caps)


class Videos(VideoProcessor):
    """Video vN has N steps of numbers that depend on N; others have no features."""

    def __contains__(self, video_id: str) -> bool:
        return video_id.startswith("v")

    def __call__(self, video_id: str) -> np.ndarray:
        number = int(video_id[1:])
        return np.random.default_rng(number).normal(size=(number, DIM)).astype(np.float32)


class PartAligner(Aligner):
    """The part of a video that a caption is of, and what a caption begins with."""

    def __init__(self, layout: VideoTextLayout) -> None:
        self.layout = layout

    def __call__(
        self, video_id: str, video_features: np.ndarray, clips: TextClips, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        end = min(clips.end[0], len(video_features))
        example = self.layout(video_features[int(clips.start[0]) : int(end)], [])
        example["caps"] = torch.tensor([CLS, SEP, CLS])
        example["cmasks"] = torch.ones(MAX_LEN - MAX_VIDEO_LEN, dtype=torch.bool)
        return example


WHOLE = (0.0, math.inf)


@pytest.fixture
def bert_name(tmp_path: Path) -> str:
    return str(write_tokenizer(tmp_path / "tokenizer"))


@pytest.fixture
def layout(bert_name: str) -> VideoTextLayout:
    return VideoTextLayout(max_video_len=MAX_VIDEO_LEN, max_len=MAX_LEN, bert_name=bert_name)


@pytest.fixture
def model(bert_name: str) -> MultimodalModel:
    torch.manual_seed(0)
    trunk = JointTrunk(
        bert_name=bert_name,
        max_video_len=MAX_VIDEO_LEN,
        text_attention="causal",
        pretrained=False,
        bert_config={"initializer_range": 0.5},
    )
    encoder = VideoTokenMLP(hidden_size=trunk.hidden_size, input_dim=DIM)
    head = LanguageHead(hidden_size=trunk.hidden_size, bert_name=bert_name, pretrained=False)
    torch.nn.init.normal_(encoder.linear2.weight)
    return MultimodalModel({"video": encoder}, trunk, head)


def dataset_of(
    pairs: list[tuple[str, Any]], texts: TextProcessor, aligner: Aligner, **options: Any
) -> MultimodalDataset:
    return MultimodalDataset(
        meta_processor=ListedPairs(pairs),
        video_processor=Videos(),
        text_processor=texts,
        aligner=aligner,
        **options,
    )


@pytest.fixture
def dataset(bert_name: str, layout: VideoTextLayout) -> MultimodalDataset:
    """Five videos of 1 to 5 steps, the last of which comes twice."""
    texts = {f"t{n}": [(*WHOLE, f"the ball {'moves ' * n}")] for n in range(1, 6)}
    texts["t6"] = [(*WHOLE, "a box rests"), (*WHOLE, "a cone rests")]
    pairs = [(f"v{n}", f"t{n}") for n in range(1, 6)]
    return dataset_of(
        [*pairs, ("v5", "t6")], ListedTexts(texts, bert_name), PartAligner(layout=layout)
    )


def test_every_video_has_one_caption_and_all_its_references(
    model: MultimodalModel, dataset: MultimodalDataset
):
    found = CaptionPredictor()(model, dataset)
    assert found["ids"].tolist() == ["v1", "v2", "v3", "v4", "v5"]
    assert found["scored_ids"].tolist() == found["ids"].tolist()
    assert len(found["hypotheses"]) == 5
    assert found["reference_ids"].tolist() == ["v1", "v2", "v3", "v4", "v5", "v5", "v5"]
    # the last has more words than the layout takes: a reference is never cut
    assert found["references"].tolist()[4:] == [
        "the ball moves moves moves moves moves",
        "a box rests",
        "a cone rests",
    ]


def test_a_caption_is_what_the_model_generates_as_text(
    model: MultimodalModel, dataset: MultimodalDataset
):
    found = CaptionPredictor(num_beams=2, max_decode_length=9)(model, dataset)
    batch = collate([dataset[index] for index in range(5)])
    del batch["video_id"]
    ids = generate(model, batch, Decoding(num_beams=2, max_decode_length=9), end=SEP, pad=PAD)
    words = dataset.text_processor.tokenizer.convert_ids_to_tokens
    for text, row in zip(found["hypotheses"], ids[:, 3:].tolist(), strict=True):
        said = [word for word in words(row) if not word.startswith("[")]
        assert text == " ".join(said)
    assert len(set(found["hypotheses"])) > 1, "no video made a difference"


@pytest.mark.parametrize("beams", [1, 3])
def test_the_size_of_a_batch_changes_no_caption(
    model: MultimodalModel, dataset: MultimodalDataset, beams: int
):
    one = CaptionPredictor(batch_size=1, num_beams=beams)(model, dataset)
    eight = CaptionPredictor(batch_size=8, num_beams=beams)(model, dataset)
    assert all(np.array_equal(one[name], eight[name]) for name in one)


def test_a_trained_model_writes_what_it_was_taught(
    model: MultimodalModel, dataset: MultimodalDataset
):
    # four videos with captions of 2 to 5 words, as a captioning aligner writes them for training
    dataset.meta_processor.pairs = dataset.meta_processor.pairs[:4]
    batch = collate([dataset[index] for index in range(4)])
    batch["caps"] = torch.full((4, MAX_LEN - MAX_VIDEO_LEN), PAD)
    batch["text_label"] = torch.full_like(batch["caps"], -100)
    batch["cmasks"] = torch.zeros_like(batch["caps"], dtype=torch.bool)
    for row in range(4):
        (words,) = dataset.text_processor(f"t{row + 1}").cap
        batch["caps"][row, : len(words) + 3] = torch.tensor([CLS, SEP, CLS, *words])
        batch["text_label"][row, 2 : len(words) + 3] = torch.tensor([*words, SEP])
        batch["cmasks"][row, : len(words) + 3] = True
    del batch["video_id"]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        logits = model.train()(**batch)["logits"]
        loss = LanguageCrossEntropy()(logits=logits, text_label=batch["text_label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for beams in (1, 5):
        found = CaptionPredictor(num_beams=beams)(model, dataset)
        assert found["hypotheses"].tolist() == found["references"].tolist()
        assert CaptionMetric()(found)["BLEU-4"] == pytest.approx(1)


def test_parts_of_a_video_are_captioned_apart(
    bert_name: str, layout: VideoTextLayout, model: MultimodalModel
):
    texts = {
        "long": [(0.0, 2.0, "a ball"), (2.5, 5.0, "a box"), (2.5, 5.0, "the box")],
        "other": [(*WHOLE, "a cone")],
        "alone": [(2.5, 5.0, "a ring")],
    }
    processor, aligner = ListedTexts(texts, bert_name), PartAligner(layout=layout)
    found = CaptionPredictor()(
        model, dataset_of([("v5", "long"), ("v2", "other")], processor, aligner)
    )
    assert found["ids"].tolist() == ["v5@0-2", "v5@2.5-5", "v2"]
    assert found["reference_ids"].tolist() == ["v5@0-2", "v5@2.5-5", "v5@2.5-5", "v2"]
    assert found["references"].tolist() == ["a ball", "a box", "the box", "a cone"]
    alone = CaptionPredictor()(model, dataset_of([("v5", "alone")], processor, aligner))
    assert alone["ids"].tolist() == ["v5"]
    assert alone["hypotheses"][0] == found["hypotheses"][1]


def test_parts_of_a_long_video_have_ids_of_their_own(
    bert_name: str, layout: VideoTextLayout, model: MultimodalModel
):
    parts = [(1.0, 4000.123, "a ball"), (1.0, 4000.124, "a box")]
    dataset = dataset_of(
        [("v5", "long")], ListedTexts({"long": parts}, bert_name), PartAligner(layout=layout)
    )
    found = CaptionPredictor()(model, dataset)
    assert found["ids"].tolist() == ["v5@1-4000.123", "v5@1-4000.124"]
    assert CaptionMetric()(found)["protocol"]["clips"] == 2


def test_a_video_without_features_keeps_its_references_and_has_no_caption(
    bert_name: str, layout: VideoTextLayout, model: MultimodalModel
):
    texts = ListedTexts({"a": [(*WHOLE, "a ball")], "b": [(*WHOLE, "a box")]}, bert_name)
    pairs = [("gone", "a"), ("v3", "b")]
    dataset = dataset_of(pairs, texts, PartAligner(layout=layout), allow_missing=True)
    found = CaptionPredictor()(model, dataset)
    assert found["ids"].tolist() == ["gone", "v3"]
    assert found["scored_ids"].tolist() == ["v3"]
    assert found["references"].tolist() == ["a ball", "a box"]
    with pytest.raises(DataError, match="1 clips without a prediction: 'gone'"):
        CaptionMetric()(found)
    scored = CaptionMetric(allow_missing=True)(found)
    assert scored["protocol"]["missing_clips"] == 1
    assert scored["hypotheses_without_words"] >= 1


def test_references_are_as_people_wrote_them_where_the_data_set_holds_texts(
    tmp_path: Path, bert_name: str, layout: VideoTextLayout, model: MultimodalModel
):
    captions = tmp_path / "captions.csv"
    captions.write_text('video,caption\nv2,"A BALL, that moves..."\nv2,the Zyx ball\nv3,a box\n')
    processor = CaptionTextProcessor(annotations=captions, bert_name=bert_name)
    # the vocabulary has no such word, and small letters only
    assert "Zyx" not in processor.tokenizer.decode(processor("v2").cap[1])
    dataset = dataset_of([("v2", "v2"), ("v3", "v3")], processor, PartAligner(layout=layout))
    found = CaptionPredictor()(model, dataset)
    assert found["references"].tolist() == ["A BALL, that moves...", "the Zyx ball", "a box"]
    assert found["reference_source"] == "texts"


def test_references_are_read_from_tokens_where_there_are_no_texts(
    model: MultimodalModel, dataset: MultimodalDataset
):
    found = CaptionPredictor()(model, dataset)
    assert found["reference_source"] == "tokens"
    assert CaptionMetric()(found)["protocol"]["reference_source"] == "tokens"


def test_predictions_are_saved_and_read_without_change(
    model: MultimodalModel, dataset: MultimodalDataset, tmp_path: Path
):
    found = CaptionPredictor()(model, dataset)
    save_predictions(tmp_path / "predictions.npz", found, {})
    again, _ = load_predictions(tmp_path / "predictions.npz")
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_captions_of_training_begin_like_those_to_be_written(
    model: MultimodalModel, dataset: MultimodalDataset, layout: VideoTextLayout
):
    expected = CaptionPredictor()(model, dataset)

    class WithText(PartAligner):
        def __call__(self, *arguments: Any) -> dict[str, Tensor]:
            example = super().__call__(*arguments)
            example["caps"] = torch.cat([example["caps"], torch.full((13,), 7)])
            return example

    dataset.aligner = WithText(layout=layout)
    assert CaptionPredictor()(model, dataset)["hypotheses"].tolist() == (
        expected["hypotheses"].tolist()
    )


def test_where_captions_are_gone_on_with_each_is_compared_with_its_own_rest(bert_name: str):
    texts = {
        "t1": [(0.0, 1.0, "the ball rests moves"), (0.0, 1.0, "a ball"), (1.0, 3.0, "a box rests")],
        "t2": [(*WHOLE, "a cone rests")],
    }
    layout = PromptLayout(max_video_len=MAX_VIDEO_LEN, bert_name=bert_name, objective="prefix")
    aligner = CaptioningAligner(layout=layout, bert_name=bert_name)
    pairs = [("v3", "t1"), ("v2", "t2"), ("x", "t2")]
    there = dataset_of(pairs, ListedTexts(texts, bert_name), aligner, allow_missing=True)
    trunk = T5Trunk(
        pretrained=False, model_config={"vocab_size": 40, "d_model": 16, "num_layers": 1}
    )
    encoder = VideoTokenMLP(hidden_size=16, input_dim=DIM)
    head = LanguageHead(hidden_size=16, bert_name=bert_name, pretrained=False, transform=False)
    found = CaptionPredictor()(MultimodalModel({"video": encoder}, trunk, head), there)
    assert found["ids"].tolist() == ["v3@0-1#0", "v3@0-1#1", "v3@1-3", "v2", "x"]
    assert found["scored_ids"].tolist() == ["v3@0-1#0", "v3@0-1#1", "v3@1-3", "v2"]
    assert found["references"].tolist() == ["rests moves", "ball", "rests", "rests", "rests"]
    assert found["reference_ids"].tolist() == found["ids"].tolist()
    assert found["reference_source"] == "tokens"


def test_an_aligner_of_pairs_is_refused(
    model: MultimodalModel, dataset: MultimodalDataset, layout: VideoTextLayout
):
    dataset.aligner = PairAligner(layout=layout)
    with pytest.raises(ConfigError, match=r"written behind \[CLS\] \[SEP\] \[CLS\]"):
        CaptionPredictor()(model, dataset)


def test_a_processor_without_tokenizer_is_refused(
    model: MultimodalModel, dataset: MultimodalDataset
):
    del dataset.text_processor.tokenizer
    with pytest.raises(ConfigError, match="ListedTexts has no tokenizer"):
        CaptionPredictor()(model, dataset)


def test_a_split_without_captions_is_refused(
    bert_name: str, layout: VideoTextLayout, model: MultimodalModel
):
    empty = dataset_of([], ListedTexts({}, bert_name), PartAligner(layout=layout))
    with pytest.raises(DataError, match="the split has no caption"):
        CaptionPredictor()(model, empty)


@pytest.mark.parametrize("option", ["batch_size", "num_beams"])
def test_impossible_options_are_refused(option: str):
    with pytest.raises(ConfigError, match=f"{option} is 0, but must be at least 1"):
        CaptionPredictor(**{option: 0})
