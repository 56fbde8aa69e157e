"""Tests of answers and options of language models, and of what they say without the video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.metrics.answer import AnswerMetric
from mmvt.evaluators.metrics.choice import MultipleChoiceMetric
from mmvt.evaluators.predictors.question import AnswerPredictor, OptionPredictor
from mmvt.models.bert import SeparateTrunk
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.aligners.question import YesNoAligner
from mmvt.processors.meta.nextqa import NExTQAMetaProcessor
from mmvt.processors.meta.open_questions import OpenQuestionMetaProcessor
from mmvt.processors.text.captions import CaptionTextProcessor
from mmvt.processors.text.questions import NExTQATextProcessor, OpenQuestionTextProcessor
from tests.asking import (
    DIM,
    KINDS,
    VIDEOS,
    dataset_of,
    layout_of,
    model_of,
    taught,
    words_in,
    write_choices,
    write_open,
)


@pytest.fixture(scope="module")
def bert_name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return words_in(tmp_path_factory.mktemp("words"))


def open_dataset(folder: Path, bert_name: str, videos: list[str] = VIDEOS) -> MultimodalDataset:
    path = write_open(folder / "open.json", videos)
    return dataset_of(
        OpenQuestionMetaProcessor(split="train", train_path=path),
        OpenQuestionTextProcessor(bert_name=bert_name, train_path=path),
        bert_name,
    )


def choice_dataset(folder: Path, bert_name: str, videos: list[str] = VIDEOS) -> MultimodalDataset:
    path = write_choices(folder / "val.csv", videos)
    return dataset_of(
        NExTQAMetaProcessor(split="valid", val_path=path),
        NExTQATextProcessor(bert_name=bert_name, val_path=path),
        bert_name,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_learned_beats_itself_without_the_video(
    kind: str, bert_name: str, tmp_path: Path
) -> None:
    dataset = open_dataset(tmp_path, bert_name)
    model = taught(kind, dataset)
    predictions = AnswerPredictor()(model, dataset)
    results = AnswerMetric()(predictions)
    assert (results["accuracy"], results["questions"]) == (1.0, 32)
    # without the video there are 4 colours or 4 shapes to guess from, without the question 8
    assert results["question_only"]["accuracy"] <= 0.25
    assert results["answer_only"]["accuracy"] <= 0.25
    assert len(set(predictions["answer_only_said"].tolist())) == 1
    assert results["majority"]["accuracy"] == 0.125
    assert results["vocabulary_ceiling"] == 1.0
    choices = choice_dataset(tmp_path, bert_name)
    scores = OptionPredictor()(model, choices)
    results = MultipleChoiceMetric()(scores)
    assert results["accuracy"] == 1.0
    assert results["groups"]["CW"] == {"accuracy": 1.0, "questions": 16}
    assert results["question_only"]["accuracy"] <= 0.25
    assert results["question_only"]["groups"].keys() == {"C", "D", "CW", "DO"}
    assert len(np.unique(scores["answer_only_scores"][::2], axis=0)) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_length", [True, False])
def test_options_are_as_likely_as_transformers_finds_them(
    kind: str, by_length: bool, bert_name: str, tmp_path: Path
) -> None:
    model, dataset = model_of(kind), choice_dataset(tmp_path, bert_name, ["v6"])
    found = OptionPredictor(by_length=by_length)(model, dataset)
    assert found["scores"].shape == found["question_only_scores"].shape == (2, 5)
    tokenizer = dataset.text_processor.tokenizer  # type: ignore[attr-defined]
    trunk: Any = model.trunk
    words = trunk.t5.shared if kind == "t5" else trunk.lm.model.embed_tokens
    video = model.encoders["video"](vfeats=dataset[0]["vfeats"][None])["video_embeddings"][0]
    question = words(torch.tensor(tokenizer("what color ?", add_special_tokens=False)["input_ids"]))
    silence = words(torch.tensor([tokenizer.sep_token_id]))
    for name, read in {
        "scores": [video, question],
        "question_only_scores": [question],
        "answer_only_scores": [silence],
    }.items():
        for number, answer in enumerate(["red", "green", "blue", "white", "red and blue"]):
            ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
            label = torch.tensor([*ids, tokenizer.sep_token_id])
            if kind == "t5":
                told = trunk.t5(inputs_embeds=torch.cat(read)[None], labels=label[None]).logits[0]
            else:
                parts = [words(torch.tensor([2])), *read, words(label[:-1])]
                told = trunk.lm(inputs_embeds=torch.cat(parts)[None]).logits[0, -len(label) :]
            each = told.log_softmax(-1)[torch.arange(len(label)), label]
            expected = each.mean() if by_length else each.sum()
            assert found[name][0, number] == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_a_batch_changes_nothing(kind: str, bert_name: str, tmp_path: Path) -> None:
    model = model_of(kind)
    dataset = open_dataset(tmp_path, bert_name, VIDEOS[:5])
    one, eight = (AnswerPredictor(batch_size=size, num_beams=2)(model, dataset) for size in (1, 8))
    for name in ("said", "question_only_said", "answer_only_said"):
        assert one[name].tolist() == eight[name].tolist()
    dataset = choice_dataset(tmp_path, bert_name, VIDEOS[:5])
    one, eight = (OptionPredictor(batch_size=size)(model, dataset) for size in (1, 8))
    for name in ("scores", "question_only_scores", "answer_only_scores"):
        np.testing.assert_allclose(one[name], eight[name], rtol=1e-4)


def test_yes_is_weighed_against_no(bert_name: str, tmp_path: Path) -> None:
    dataset = choice_dataset(tmp_path, bert_name, ["v6"])
    dataset.aligner = YesNoAligner(layout=layout_of(bert_name), bert_name=bert_name)
    model = model_of("t5")
    found = OptionPredictor(baselines=False)(model, dataset)
    assert "question_only_scores" not in found
    tokenizer = dataset.text_processor.tokenizer  # type: ignore[attr-defined]
    trunk: Any = model.trunk
    video = model.encoders["video"](vfeats=dataset[0]["vfeats"][None])["video_embeddings"][0]
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    for number, answer in enumerate(["red", "green", "blue", "white", "red and blue"]):
        text = f"what color ? is it '{answer}'?"
        prompt = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
        read = torch.cat([video, trunk.t5.shared(prompt)])[None]
        logits = trunk.t5(inputs_embeds=read, labels=torch.tensor([[yes]])).logits[0, 0]
        expected = (logits[yes] - logits[no]).item()
        assert found["scores"][0, number] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_what_has_no_features_is_missing_and_named(bert_name: str, tmp_path: Path) -> None:
    videos = ["v1", "absent"]
    path = tmp_path / "open.json"
    rows = [f'{{"video_id": "{video}", "question": "what ?", "answer": "red"}}' for video in videos]
    path.write_text(f"[{', '.join(rows)}]")
    dataset = dataset_of(
        OpenQuestionMetaProcessor(split="train", train_path=path),
        OpenQuestionTextProcessor(bert_name=bert_name, train_path=path),
        bert_name,
    )
    found = AnswerPredictor()(model_of("t5"), dataset)
    assert found["ids"].tolist() == ["open:0", "open:1"]
    assert found["scored_ids"].tolist() == ["open:0"]
    with pytest.raises(DataError, match="1 questions without a prediction: 'open:1'"):
        AnswerMetric()(found)
    assert AnswerMetric(allow_missing=True)(found)["questions"] == 2


def test_parts_that_do_not_fit_are_refused(bert_name: str, tmp_path: Path) -> None:
    dataset = choice_dataset(tmp_path, bert_name, ["v6"])
    with pytest.raises(ConfigError, match="batch_size is 0"):
        OptionPredictor(batch_size=0)
    with pytest.raises(ConfigError, match="num_beams is 0"):
        AnswerPredictor(num_beams=0)
    other = MultimodalModel(
        {"video": VideoTokenMLP(hidden_size=16, input_dim=DIM)},
        SeparateTrunk(
            max_video_len=2, bert_name=bert_name, pretrained=False, num_hidden_video_layers=1
        ),
        ContrastiveHead(),
    )
    with pytest.raises(ConfigError, match="OptionPredictor needs logits"):
        OptionPredictor()(other, dataset)
    with pytest.raises(ConfigError, match="SeparateTrunk is no language model"):
        AnswerPredictor()(other, dataset)
    dataset.aligner = PairAligner(layout=layout_of(bert_name))
    with pytest.raises(ConfigError, match="needs an aligner of questions.*not PairAligner"):
        OptionPredictor()(model_of("t5"), dataset)
    captions = tmp_path / "captions.csv"
    captions.write_text("video,caption,split\nv1,red ball,train\n")
    dataset.text_processor = CaptionTextProcessor(annotations=captions, bert_name=bert_name)
    dataset.meta_processor = [("v1", "v1")]  # type: ignore[assignment]  # as good as one here
    with pytest.raises(ConfigError, match="needs QuestionClips, but the text processor gives Text"):
        AnswerPredictor()(model_of("t5"), dataset)
