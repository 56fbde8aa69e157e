"""Captioning against recorded inputs, weights, outputs and gradients of the original code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.losses.language import LanguageCrossEntropy
from mmvt.models.attention_masks import causal_attention
from mmvt.models.convert_mmpt import load_mmpt
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.generation import Decoding, generate
from mmvt.models.heads.language import LanguageHead
from mmvt.models.joint import JointTrunk
from mmvt.models.model import MultimodalModel
from tests.golden.conftest import Golden
from tests.golden.gradients import check_gradients

pytestmark = pytest.mark.golden

SETTINGS = {
    "dataset": {"bert_name", "max_video_len", "max_len", "train_path"},
    "model": {"model_cls", "mm_encoder_cls", "use_seg_emb", "max_decode_length"},
}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
EOS_BIAS = "eos_bias_added_to_cls.predictions.bias["


def build(golden: Golden, case: dict[str, Any], state: dict[str, Tensor]) -> MultimodalModel:
    assert case["model_cls"] == "MMFusionNLG"
    for section, known in SETTINGS.items():
        assert case["config"][section].keys() <= known
    trunk = JointTrunk(
        bert_name=golden.bert,
        max_video_len=case["config"]["dataset"]["max_video_len"],
        text_attention="causal",
        use_seg_emb=case["config"]["model"].get("use_seg_emb", False),
        pretrained=False,
    )
    width = trunk.hidden_size
    encoder = VideoTokenMLP(hidden_size=width, input_dim=golden.geometry["input_dim"])
    head = LanguageHead(hidden_size=width, bert_name=golden.bert, pretrained=False)
    model = MultimodalModel({"video": encoder}, trunk, head)
    load_mmpt(model, state)
    return model.eval()


def inputs_of(io: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix("in."): v for k, v in io.items() if k.startswith("in.")}


@pytest.mark.golden_cases("models/nlg_train*")
def test_captioning_is_trained_as_the_original_is(golden: Golden, case_name: str):
    case, state, io = golden.model(case_name.removeprefix("models/"))
    model, batch = build(golden, case, state), inputs_of(io)
    seen = causal_attention(batch["vmasks"], batch["cmasks"], "text")
    assert torch.equal(seen, batch["attention_mask"])
    outputs = model(**{k: v for k, v in batch.items() if k not in ("attention_mask", "caps_raw")})
    loss = LanguageCrossEntropy()(logits=outputs["logits"], text_label=batch["text_label"])
    loss.backward()

    assert {key for key in io if key.startswith("out.")} == {"out.logits", "out.loss_NLGLoss"}
    torch.testing.assert_close(outputs["logits"], io["out.logits"], **CLOSE)
    torch.testing.assert_close(loss[None], io["out.loss_NLGLoss"], **CLOSE)
    # caps are the plain ones one to the right, behind another [CLS]
    assert torch.equal(batch["caps"][:, 2:3], batch["caps_raw"][:, :1])
    assert case["extra"].keys() == {"grad_norm_sum_NLGLoss"}
    check_gradients(model, case["extra"]["grad_norm_sum_NLGLoss"])


@pytest.mark.golden_cases("models/nlg_generate*")
def test_generated_captions_are_the_originals(golden: Golden, case_name: str):
    case, state, io = golden.model(case_name.removeprefix("models/"))
    model, batch = build(golden, case, state), inputs_of(io)
    seen = causal_attention(batch["vmasks"], batch["cmasks"], "text")
    assert torch.equal(seen, batch["attention_mask"])
    extra, end = case["extra"], case["extra"]["eos_token_id"]
    for key, bias in extra.items():
        assert key in ("bos_token_id", "eos_token_id", "note") or key.startswith(EOS_BIAS), key
        if key.startswith(EOS_BIAS):
            with torch.no_grad():
                model.head.bias[int(key.removeprefix(EOS_BIAS).rstrip("]"))] += bias
    assert (batch["caps"][:, -1] == extra["bos_token_id"]).all()
    options = {"num_beams": 1, **case["config"].get("gen_param", {})}
    decoding = Decoding(
        max_decode_length=case["config"]["model"]["max_decode_length"], rule="original", **options
    )
    ids = generate(model, batch, decoding, end=end, pad=0)
    assert torch.equal(ids, io["out.tokens"])
    assert {key for key in io if key.startswith("out.")} == {"out.tokens"}
    if decoding.num_beams == 1:  # both rules are one where a text is never compared with another
        plain = Decoding(max_decode_length=decoding.max_decode_length, **options)
        assert torch.equal(generate(model, batch, plain, end=end, pad=0), ids)
