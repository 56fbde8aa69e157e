"""Captions of BERT trunks, against the whole model asked about every text there is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.models.base import Trunk
from mmvt.models.bert import SeparateTrunk
from mmvt.models.decoding import Decoding
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.generation import generate
from mmvt.models.heads.language import LanguageHead
from mmvt.models.joint import JointTrunk, SharedTrunk
from mmvt.models.model import MultimodalModel

PAD, CLS, END, WORDS = 0, 1, 2, 7
NEW, VIDEO_LEN = 3, 3
CONFIG = {
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "vocab_size": WORDS,
    "max_position_embeddings": 16,
    "initializer_range": 0.8,
}
TRUNKS = [
    pytest.param(JointTrunk, {}, id="joint"),
    pytest.param(SeparateTrunk, {"num_hidden_video_layers": 1}, id="separate"),
    pytest.param(SharedTrunk, {}, id="shared"),
]


def model_of(cls: type[Trunk], options: dict[str, Any]) -> MultimodalModel:
    torch.manual_seed(0)
    fields = {"max_video_len": VIDEO_LEN, "pretrained": False, "bert_config": CONFIG}
    trunk = cls(**fields, text_attention="causal", **options)
    head = LanguageHead(hidden_size=8, vocab_size=WORDS, pretrained=False)
    torch.nn.init.normal_(head.bias)
    encoder = VideoTokenMLP(hidden_size=8, input_dim=4)
    return MultimodalModel({"video": encoder}, trunk, head).eval()


def videos() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {
        "vfeats": 3 * torch.randn(3, VIDEO_LEN, 4, generator=generator),
        "vmasks": torch.tensor([[True] * 3, [True, True, False], [True, False, False]]),
    }


def written(model: MultimodalModel, beams: int) -> list[list[int]]:
    """Return the text of each video, up to its end."""
    prompts = torch.tensor([[CLS, END, CLS]] * 3)
    room = torch.ones(3, 3 + NEW + 3, dtype=torch.bool)
    decoding = Decoding(num_beams=beams, max_decode_length=3 + NEW)
    batch = {**videos(), "caps": prompts, "cmasks": room, "text_label": prompts}
    texts = generate(model, batch, decoding, end=END, pad=PAD)[:, 3:].tolist()
    return [text[: text.index(END) + 1] if END in text else text for text in texts]


def chances(model: MultimodalModel, row: int) -> dict[tuple[int, ...], Tensor]:
    """Return the log-probabilities of the tokens of every text of NEW tokens about a video."""
    texts = list(itertools.product(range(WORDS), repeat=NEW))
    every = torch.tensor(texts)
    caps = torch.cat([torch.tensor([[CLS, END, CLS]] * len(texts)), every[:, :-1]], dim=1)
    label = torch.cat([torch.full((len(texts), 2), -100), every], dim=1)
    video = {
        name: value[row : row + 1].expand(len(texts), *value.shape[1:])
        for name, value in videos().items()
    }
    with torch.no_grad():
        logits = model(
            **video, caps=caps, cmasks=torch.ones_like(caps, dtype=torch.bool), text_label=label
        )["logits"]
    told = logits.log_softmax(-1).reshape(len(texts), NEW, WORDS)
    return dict(zip(texts, told.gather(2, every[..., None])[..., 0], strict=True))


@pytest.mark.parametrize(("cls", "options"), TRUNKS)
def test_enough_beams_find_the_caption_that_the_whole_model_finds_best(
    cls: type[Trunk], options: dict[str, Any]
) -> None:
    model = model_of(cls, options)
    found = written(model, WORDS**2)
    assert len({tuple(text) for text in found}) > 1, "no video made a difference"
    for row in range(3):
        scores = {}
        for text, told in chances(model, row).items():
            count = text.index(END) + 1 if END in text else NEW
            scores[text[:count]] = told[:count].mean().item()
        assert found[row] == list(max(scores, key=lambda text: scores[text]))


@pytest.mark.parametrize(("cls", "options"), TRUNKS)
def test_a_greedy_caption_takes_the_likeliest_token_each_time(
    cls: type[Trunk], options: dict[str, Any]
) -> None:
    model = model_of(cls, options)
    for row, found in enumerate(written(model, 1)):
        told = chances(model, row)
        text: list[int] = []
        while len(text) < NEW and END not in text:
            at = len(text)
            begun = {own: own_told for own, own_told in told.items() if list(own[:at]) == text}
            text.append(max(begun, key=lambda own: begun[own][at].item())[at])
        assert found == text
