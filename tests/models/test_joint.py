from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from mmvt.errors import ConfigError
from mmvt.models.attention_masks import causal_attention
from mmvt.models.joint import JointTrunk, SharedTrunk
from mmvt.models.pooling import pool_text, pool_video
from tests.models.conftest import TINY, VIDEO_LEN
from tests.models.plain_bert import embedded, plain_bert

BERT = {**TINY, "num_hidden_layers": 3, "max_position_embeddings": 11}


def joint(**fields: Any) -> JointTrunk:
    """Return a trunk of three layers, the same for the same seed whatever the options."""
    torch.manual_seed(0)
    return JointTrunk(max_video_len=VIDEO_LEN, pretrained=False, bert_config=BERT, **fields).eval()


@pytest.fixture
def shared_trunk() -> SharedTrunk:
    torch.manual_seed(0)
    return SharedTrunk(max_video_len=VIDEO_LEN, pretrained=False, bert_config=BERT).eval()


@pytest.fixture
def inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the batch with random tokens for frames; all but the longest text has padding."""
    video = torch.randn(3, VIDEO_LEN, 8, generator=torch.Generator().manual_seed(3))
    return {"video_embeddings": video, **{k: v for k, v in batch.items() if k != "vfeats"}}


def sequence(weights: dict[str, Tensor], inputs: dict[str, Tensor], steps: int) -> Tensor:
    """Return the embedded joint sequence: the video's [SEP] has position 5, words follow it."""
    words = weights["embeddings.word_embeddings.weight"][inputs["caps"]]
    tokens = torch.cat([words[:, :1], inputs["video_embeddings"], words[:, 1:]], dim=1)
    positions = [*range(steps + 1), 5, 6, 7, 8, 9, 10]
    return embedded(weights, tokens, positions, [0] * (steps + 2) + [1] * 5)


def real(inputs: dict[str, Tensor]) -> Tensor:
    return torch.cat([inputs["cmasks"][:, :1], inputs["vmasks"], inputs["cmasks"][:, 1:]], dim=1)


def apart(inputs: dict[str, Tensor], steps: int) -> Tensor:
    """Return what each position sees while video and text are isolated."""
    part = torch.tensor([0] + [1] * (steps + 1) + [2] * 5)
    return real(inputs)[:, None] & (part[:, None] == part)


@pytest.mark.parametrize("steps", [0, 1, 3, 4])
@pytest.mark.parametrize("layers", [None, 0, 1, 3])
@torch.no_grad()
def test_joint_states_are_those_of_a_plain_bert(
    inputs: dict[str, Tensor], steps: int, layers: int | None
):
    trunk = joint(num_iso_layer=layers)
    inputs |= {name: inputs[name][:, :steps] for name in ("video_embeddings", "vmasks")}
    outputs = trunk(**inputs)
    weights = trunk.bert.state_dict()
    isolated = layers or 0
    masks = [apart(inputs, steps)] * isolated + [real(inputs)] * (3 - isolated)
    # who sees nothing sees all: a text of [SEP] alone is never so
    states = plain_bert(weights, sequence(weights, inputs, steps), masks)
    read = states[isolated - 1]
    torch.testing.assert_close(outputs["hidden"], states[-1])
    torch.testing.assert_close(outputs["hidden_video"], read[:, : steps + 2])
    kept = [0, *range(steps + 2, steps + 7)]
    torch.testing.assert_close(outputs["hidden_text"], read[:, kept])
    assert outputs["word_embeddings"] is trunk.bert.embeddings.word_embeddings.weight


@torch.no_grad()
def test_causal_text_sees_the_video_and_what_came_before(inputs: dict[str, Tensor]):
    trunk = joint(text_attention="causal")
    hidden = trunk(**inputs)["hidden"]
    weights = trunk.bert.state_dict()
    seen = real(inputs)[:, None].expand(-1, 11, -1).clone()
    for row in range(11):
        seen[:, row, max(row + 1, 6) :] = False
    states = plain_bert(weights, sequence(weights, inputs, 4), seen)[-1]
    # what padding sees is another matter
    torch.testing.assert_close(hidden[real(inputs)], states[real(inputs)])


@torch.no_grad()
def test_a_mask_of_the_example_takes_the_place_of_what_all_see(inputs: dict[str, Tensor]):
    causal = causal_attention(inputs["vmasks"], inputs["cmasks"], "text")
    expected = joint(text_attention="causal")(**inputs)["hidden"]
    torch.testing.assert_close(joint()(**inputs, attention_mask=causal)["hidden"], expected)
    isolated = joint(num_iso_layer=2)
    given, plain = isolated(**inputs, attention_mask=causal), isolated(**inputs)
    torch.testing.assert_close(given["hidden_text"], plain["hidden_text"])
    assert not torch.allclose(given["hidden"], plain["hidden"])


@torch.no_grad()
def test_a_later_word_changes_no_earlier_state_of_causal_text(inputs: dict[str, Tensor]):
    trunk = joint(text_attention="causal")
    before = trunk(**inputs)["hidden"]
    inputs["caps"][0, 4] = 11
    after = trunk(**inputs)["hidden"]
    torch.testing.assert_close(after[0, :8], before[0, :8])
    assert not torch.allclose(after[0, 8:], before[0, 8:])


@torch.no_grad()
def test_shared_states_are_those_of_one_plain_bert_run_twice(
    shared_trunk: SharedTrunk, inputs: dict[str, Tensor]
):
    outputs = shared_trunk(**inputs)
    weights = shared_trunk.bert.state_dict()
    words = weights["embeddings.word_embeddings.weight"][inputs["caps"]]
    video = torch.cat([words[:, :1], inputs["video_embeddings"], words[:, 1:2]], dim=1)
    tokens = embedded(weights, video, [0, 1, 2, 3, 4, 5], [0] * 6)
    states = plain_bert(weights, tokens, real(inputs)[:, :6])[-1]
    torch.testing.assert_close(outputs["hidden_video"], states)
    kept = [0, 2, 3, 4, 5, 6]
    tokens = embedded(weights, words[:, kept], [0, 6, 7, 8, 9, 10], [0, 1, 1, 1, 1, 1])
    states = plain_bert(weights, tokens, inputs["cmasks"][:, kept])[-1]
    torch.testing.assert_close(outputs["hidden_text"], states)


@pytest.mark.parametrize("layers", [1, 3])
@torch.no_grad()
def test_isolated_vectors_do_not_depend_on_the_other_side(inputs: dict[str, Tensor], layers: int):
    trunk = joint(num_iso_layer=layers)
    outputs = trunk(**inputs)
    video = pool_video(outputs["hidden_video"], inputs["vmasks"])
    text = pool_text(outputs["hidden_text"], inputs["cmasks"])
    # a video beside no words, and a text beside one frame that is padding
    empty = {"caps": inputs["caps"][:, [0, 1, 1]], "cmasks": inputs["cmasks"][:, :3]}
    alone = trunk(**{**inputs, **empty})
    torch.testing.assert_close(pool_video(alone["hidden_video"], inputs["vmasks"]), video)
    no_frame = {
        "video_embeddings": torch.zeros(3, 1, 8),
        "vmasks": torch.zeros(3, 1, dtype=torch.bool),
    }
    alone = trunk(**{**inputs, **no_frame})
    torch.testing.assert_close(pool_text(alone["hidden_text"], inputs["cmasks"]), text)


@torch.no_grad()
def test_vectors_that_are_not_isolated_depend_on_the_other_side(inputs: dict[str, Tensor]):
    trunk = joint()
    video = trunk(**inputs)["hidden_video"][0]
    inputs["caps"][0, 3] = 11
    assert not torch.allclose(trunk(**inputs)["hidden_video"][0], video)


WINDOWS = {
    "window_caps": torch.tensor([[1, 2, 0, 2]]).expand(3, -1),
    "window_cmasks": torch.tensor([[False, True, False, True]]).expand(3, -1),
}


@pytest.mark.parametrize("layers", [None, 2])
@torch.no_grad()
def test_windows_and_texts_that_are_no_pairs_run_apart(
    inputs: dict[str, Tensor], layers: int | None
):
    trunk = joint(num_iso_layer=layers)
    texts = {name: inputs[name][:2] for name in ("caps", "cmasks")}
    outputs = trunk(**{**inputs, **texts}, **WINDOWS)
    paired = {"caps": WINDOWS["window_caps"], "cmasks": WINDOWS["window_cmasks"]}
    expected = trunk(**{**inputs, **paired})
    for name in ("hidden", "hidden_video"):
        torch.testing.assert_close(outputs[name], expected[name])
    nothing = {"video_embeddings": torch.zeros(2, 0, 8), "vmasks": torch.ones(2, 0).bool()}
    expected = trunk(**nothing, **texts)["hidden_text"]
    torch.testing.assert_close(outputs["hidden_text"], expected)


@torch.no_grad()
def test_a_shared_trunk_takes_windows_and_texts_that_are_no_pairs(
    shared_trunk: SharedTrunk, inputs: dict[str, Tensor]
):
    texts = {name: inputs[name][:2] for name in ("caps", "cmasks")}
    outputs = shared_trunk(**{**inputs, **texts}, **WINDOWS)
    torch.testing.assert_close(outputs["hidden_text"], shared_trunk(**inputs)["hidden_text"][:2])
    inputs["cmasks"][:, 0] = False
    torch.testing.assert_close(outputs["hidden_video"], shared_trunk(**inputs)["hidden_video"])


@pytest.mark.parametrize("options", [{}, {"num_iso_layer": 2}, {"text_attention": "causal"}])
def test_nothing_real_gives_finite_states_and_gradients(
    inputs: dict[str, Tensor], options: dict[str, Any]
):
    trunk = joint(**options)
    inputs |= {name: torch.zeros_like(inputs[name]) for name in ("vmasks", "cmasks")}
    hidden = trunk(**inputs)["hidden"]
    hidden.sum().backward()
    assert hidden.isfinite().all()
    assert all(p.grad.isfinite().all() for p in trunk.parameters() if p.grad is not None)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_masks_hide_as_well_in_half_precision(inputs: dict[str, Tensor], dtype: torch.dtype):
    trunk = joint(num_iso_layer=2).to(dtype)
    inputs["video_embeddings"] = inputs["video_embeddings"].to(dtype)
    before = trunk(**inputs)
    inputs["video_embeddings"][~inputs["vmasks"]] = 1000.0
    inputs["caps"][~inputs["cmasks"]] = 13
    after = trunk(**inputs)
    assert torch.equal(after["hidden"][real(inputs)], before["hidden"][real(inputs)])
    assert after["hidden"].isfinite().all()


def test_segment_embeddings_are_held_but_neither_read_nor_trained(inputs: dict[str, Tensor]):
    trunk = joint(use_seg_emb=True)
    key = "bert.embeddings.seg_embeddings.weight"
    assert trunk.state_dict()[key].shape == (256, 8)
    assert trunk.state_dict().keys() - {key} == joint().state_dict().keys()
    trunk(**inputs)["hidden"].sum().backward()
    assert [name for name, p in trunk.named_parameters() if p.grad is None] == [key]
    torch.testing.assert_close(trunk(**inputs)["hidden"], joint()(**inputs)["hidden"])


def test_the_gradient_of_a_tied_decoder_reaches_the_word_embeddings(inputs: dict[str, Tensor]):
    trunk = joint()
    outputs = trunk(**inputs)
    (outputs["hidden"] @ outputs["word_embeddings"].T).square().sum().backward()
    gradient = trunk.bert.embeddings.word_embeddings.weight.grad
    assert gradient is not None
    assert gradient[1:].any(1).all(), "words of no text have one too; the row of padding is zero"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_iso_layer": 4}, "num_iso_layer is 4, but there are 3 layers"),
        ({"num_iso_layer": -1}, "num_iso_layer is -1, but there are 3 layers"),
        ({"num_iso_layer": 1, "text_attention": "causal"}, "hides the video from the text"),
        ({"num_hidden_layers": 0}, "a BERT of 0 layers is asked for"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        joint(**fields)


@pytest.mark.parametrize("cls", [JointTrunk, SharedTrunk])
def test_sequences_longer_than_the_model_are_refused(
    cls: type[JointTrunk | SharedTrunk], inputs: dict[str, Tensor]
):
    config = {**BERT, "max_position_embeddings": 10}
    trunk = cls(max_video_len=VIDEO_LEN, pretrained=False, bert_config=config)
    with pytest.raises(ConfigError, match="a text has 11 tokens, but its BERT 10 positions"):
        trunk(**inputs)
    with pytest.raises(ConfigError, match="a video has 5 steps, but max_video_len is 4"):
        trunk(
            **{**inputs, "video_embeddings": torch.zeros(3, 5, 8), "vmasks": torch.ones(3, 5) > 0}
        )
    with pytest.raises(ConfigError, match="max_video_len is 9, but a BERT of 10 positions takes 2"):
        cls(max_video_len=9, pretrained=False, bert_config=config)
    with pytest.raises(ConfigError, match="pretrained weights need a bert_name"):
        cls(max_video_len=4)


@pytest.mark.parametrize("cls", [JointTrunk, SharedTrunk])
def test_a_trunk_begins_with_the_weights_of_a_bert(
    cls: type[JointTrunk | SharedTrunk], tmp_path: Path
):
    stored = BertForMaskedLM(BertConfig(**BERT))
    stored.save_pretrained(tmp_path)
    trunk = cls(max_video_len=VIDEO_LEN, bert_name=str(tmp_path), num_hidden_layers=2)
    ours, theirs = trunk.bert.state_dict(), stored.bert.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert trunk.training
    assert trunk.hidden_size == 8


def test_layers_may_be_fewer_than_the_berts():
    assert len(joint(num_hidden_layers=2).bert.encoder.layer) == 2
