from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.errors import ConfigError
from mmvt.losses.masked import MFMMLM, MTM
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.masked import MFMMLMHead, MTMHead
from mmvt.models.joint import JointTrunk
from mmvt.models.model import MultimodalModel

HEADS = [MFMMLMHead, MTMHead]
WORDS, WIDTH = 5, 3


def head_of(kind: type[MFMMLMHead] | type[MTMHead]) -> MFMMLMHead | MTMHead:
    torch.manual_seed(0)
    options: dict[str, Any] = {"vocab_size": WORDS} if kind is MFMMLMHead else {}
    head = kind(hidden_size=WIDTH, pretrained=False, **options)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head


@pytest.fixture
def ports() -> dict[str, Tensor]:
    """Two examples of 3 frames and 4 tokens: two frames and two words are masked."""
    generator = torch.Generator().manual_seed(1)
    return {
        "hidden": torch.randn(2, 7, WIDTH, generator=generator),
        "frame_embeddings": torch.randn(2, 3, WIDTH, generator=generator),
        "word_embeddings": torch.randn(WORDS, WIDTH, generator=generator),
        "vmasks": torch.tensor([[True, True, True], [True, True, False]]),
        "video_label": torch.tensor([[False, True, False], [True, False, False]]),
        "text_label": torch.tensor([[-100, -100, 4, -100], [-100, -100, 0, -100]]),
    }


# places of the masked in [CLS] v1 v2 v3 [SEP] w1 w2: (example, position)
MASKED_FRAMES = [(0, 2), (1, 1)]
MASKED_WORDS = [(0, 5), (1, 5)]
OTHER_FRAMES = [(0, 0), (0, 2), (1, 1)]


def transformed(head: MFMMLMHead | MTMHead, state: Tensor) -> Tensor:
    """Return linear, GELU and LayerNorm of one state, written out."""
    weights = head.transform.state_dict()
    value = weights["dense.weight"] @ state + weights["dense.bias"]
    value = value * (1 + torch.erf(value / math.sqrt(2))) / 2
    value = (value - value.mean()) / (value.var(correction=0) + 1e-12).sqrt()
    return value * weights["LayerNorm.weight"] + weights["LayerNorm.bias"]


@pytest.mark.parametrize("kind", HEADS)
def test_masked_positions_are_compared_with_frames_and_words_one_by_one(
    kind: type[MFMMLMHead], ports: dict[str, Tensor]
):
    head = head_of(kind)
    out = head(**ports)
    frames, words = ports["frame_embeddings"], ports["word_embeddings"]
    bias = head.bias if head.bias is not None else torch.zeros(WORDS)
    video_rows, text_rows = [], []
    for example, place in MASKED_FRAMES:
        state = transformed(head, ports["hidden"][example, place])
        row = [state @ frames[example, place - 1]]
        row += [state @ frames[other] for other in OTHER_FRAMES]
        row += [state @ word for word in words] if kind is MTMHead else []
        video_rows.append(torch.stack(row))
    for example, place in MASKED_WORDS:
        state = transformed(head, ports["hidden"][example, place])
        row = [state @ word + b for word, b in zip(words, bias, strict=True)]
        row += [state @ frames[other] for other in OTHER_FRAMES] if kind is MTMHead else []
        text_rows.append(torch.stack(row))
    torch.testing.assert_close(out["video_logits"], torch.stack(video_rows))
    torch.testing.assert_close(out["text_logits"], torch.stack(text_rows))


@pytest.mark.parametrize("kind", HEADS)
def test_padding_is_no_candidate(kind: type[MFMMLMHead], ports: dict[str, Tensor]):
    head = head_of(kind)
    before = head(**ports)
    ports["frame_embeddings"][1, 2] = 1e6
    ports["hidden"][1, 3] = 1e6
    after = head(**ports)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", HEADS)
def test_the_gradient_reaches_frames_right_and_wrong_and_the_words(
    kind: type[MFMMLMHead], ports: dict[str, Tensor]
):
    frames = ports["frame_embeddings"].requires_grad_()
    words = ports["word_embeddings"].requires_grad_()
    out = head_of(kind)(**ports)
    loss = MFMMLM() if kind is MFMMLMHead else MTM()
    loss(**out, text_label=ports["text_label"]).backward()
    assert frames.grad is not None
    assert frames.grad.abs().sum(-1).bool().tolist() == ports["vmasks"].tolist()
    assert words.grad is not None
    assert words.grad.abs().sum(-1).all()


@pytest.mark.parametrize("kind", HEADS)
def test_nothing_masked_leaves_no_row_and_a_loss_of_zero(
    kind: type[MFMMLMHead], ports: dict[str, Tensor]
):
    ports["video_label"] = torch.zeros(2, 3, dtype=torch.bool)
    ports["text_label"] = torch.full((2, 4), -100)
    head = head_of(kind)
    out = head(**ports)
    assert out["video_logits"].shape[0] == out["text_logits"].shape[0] == 0
    loss = MFMMLM() if kind is MFMMLMHead else MTM()
    value = loss(**out, text_label=ports["text_label"])
    value.backward()
    assert value.item() == 0
    # no parameter is left without gradient: workers that share gradients would wait for it
    assert all(parameter.grad is not None for parameter in head.parameters())


@pytest.mark.parametrize("kind", HEADS)
def test_all_frames_masked_leaves_each_its_own_frame_only(
    kind: type[MFMMLMHead], ports: dict[str, Tensor]
):
    ports["video_label"] = ports["vmasks"]
    columns = head_of(kind)(**ports)["video_logits"].shape[1]
    assert columns == (1 if kind is MFMMLMHead else 1 + WORDS)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_nearly_the_same_loss(
    kind: type[MFMMLMHead], dtype: torch.dtype, ports: dict[str, Tensor]
):
    loss = MFMMLM() if kind is MFMMLMHead else MTM()
    full = loss(**head_of(kind)(**ports), text_label=ports["text_label"])
    halved = {k: v.to(dtype) if v.is_floating_point() else v for k, v in ports.items()}
    out = head_of(kind).to(dtype)(**halved)
    assert out["video_logits"].dtype == dtype
    value = loss(**out, text_label=ports["text_label"])
    torch.testing.assert_close(value, full, rtol=0.05, atol=0.1)


def test_a_bias_of_other_words_is_refused(ports: dict[str, Tensor]):
    head = MFMMLMHead(hidden_size=WIDTH, vocab_size=4, pretrained=False)
    with pytest.raises(ConfigError, match=r"MFMMLMHead has a bias of 4 words, but the trunk has 5"):
        head(**ports)


@pytest.mark.parametrize("kind", HEADS)
def test_a_joint_model_learns_what_was_hidden(kind: type[MFMMLMHead], batch: dict[str, Tensor]):
    torch.manual_seed(3)
    config = {
        "vocab_size": 20,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "max_position_embeddings": 12,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    trunk = JointTrunk(max_video_len=4, pretrained=False, bert_config=config)
    options: dict[str, Any] = {"vocab_size": 20} if kind is MFMMLMHead else {}
    head = kind(hidden_size=8, pretrained=False, **options)
    model = MultimodalModel({"video": VideoTokenMLP(hidden_size=8, input_dim=6)}, trunk, head)
    batch["video_label"] = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    batch["text_label"] = torch.full((3, 7), -100)
    batch["text_label"][0, 2] = 5
    loss = MFMMLM() if kind is MFMMLMHead else MTM()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    values = []
    for _ in range(40):
        out = model(**batch)
        value = loss(**{p: out[p] for p in ("video_logits", "text_logits", "text_label")})
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0] / 3
