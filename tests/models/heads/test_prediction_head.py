from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertModel

from mmvt.errors import CheckpointError, ConfigError
from mmvt.models.heads.language import LanguageHead
from mmvt.models.heads.masked import MFMMLMHead, MTMHead

CONFIG = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
}
HEADS = [MFMMLMHead, MTMHead, LanguageHead]


@pytest.fixture
def bert(tmp_path: Path) -> BertForMaskedLM:
    """Return a BERT with a prediction head, saved in the folder ``bert``."""
    torch.manual_seed(0)
    bert = BertForMaskedLM(BertConfig(**CONFIG))
    for parameter in bert.parameters():
        torch.nn.init.normal_(parameter)
    bert.save_pretrained(tmp_path / "bert")
    return bert


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_begins_with_the_prediction_head_of_its_bert(
    kind: type[LanguageHead], bert: BertForMaskedLM, tmp_path: Path
):
    head = kind(hidden_size=8, bert_name=str(tmp_path / "bert"))
    theirs = bert.cls.predictions
    states = torch.randn(4, 8)
    torch.testing.assert_close(head.transform(states), theirs.transform(states))
    if kind is MTMHead:
        assert head.bias is None
        return
    words: Tensor = bert.bert.embeddings.word_embeddings.weight
    torch.testing.assert_close(head.word_logits(head.transform(states), words), theirs(states))


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("saved", ["bare", "configuration"])
def test_a_bert_without_prediction_head_leaves_a_head_that_begins_anew(
    kind: type[LanguageHead], saved: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    config = BertConfig(**CONFIG)
    model = BertModel(config) if saved == "bare" else config
    model.save_pretrained(tmp_path / "bert")
    with caplog.at_level(logging.INFO, logger="mmvt"):
        head = kind(hidden_size=8, bert_name=str(tmp_path / "bert"))
    assert "has no prediction head" in caplog.text
    assert 0.01 < head.transform.dense.weight.std() < 0.03
    assert not head.transform.dense.bias.any()


def test_weights_are_not_read_unless_wanted(bert: BertForMaskedLM, tmp_path: Path):
    head = LanguageHead(hidden_size=8, bert_name=str(tmp_path / "bert"), pretrained=False)
    assert head.bias is not None
    assert len(head.bias) == 20
    assert not head.bias.any()


def test_pretrained_weights_need_a_name():
    with pytest.raises(ConfigError, match="pretrained weights need a bert_name"):
        LanguageHead(hidden_size=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 4}, r"of '.*' is \(8,.*\), but the head needs \(4"),
        ({"hidden_size": 8, "vocab_size": 7}, r"bias of '.*' is \(20,\), but the head needs \(7,"),
    ],
)
def test_a_prediction_head_of_another_size_is_refused(
    options: dict[str, Any], message: str, bert: BertForMaskedLM, tmp_path: Path
):
    with pytest.raises(ConfigError, match=message):
        LanguageHead(bert_name=str(tmp_path / "bert"), **options)


def test_torn_weights_are_refused(bert: BertForMaskedLM, tmp_path: Path):
    weights = tmp_path / "bert" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="torn or unsafe"):
        LanguageHead(hidden_size=8, bert_name=str(tmp_path / "bert"))
