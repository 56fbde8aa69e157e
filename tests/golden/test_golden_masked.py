"""Masked modelling against recorded inputs, weights, outputs and gradients of the original code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmvt.losses.base import Loss
from mmvt.losses.masked import MFMMLM, MTM
from mmvt.models.base import Head
from mmvt.models.convert_mmpt import load_mmpt
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.masked import MFMMLMHead, MTMHead
from mmvt.models.joint import JointTrunk
from mmvt.models.model import MultimodalModel
from tests.golden.conftest import Golden
from tests.golden.gradients import check_gradients

pytestmark = pytest.mark.golden

PARTS: dict[str, tuple[type[Head], Loss, str]] = {
    "MMFusionMFMMLM": (MFMMLMHead, MFMMLM(), "MFMMLM"),
    "MMFusionMTM": (MTMHead, MTM(), "MTM"),
}
SETTINGS = {
    "dataset": {"bert_name", "max_video_len", "max_len", "train_path"},
    "model": {"model_cls", "mm_encoder_cls", "use_seg_emb"},
}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def build(golden: Golden, case: dict[str, Any], state: dict[str, Tensor]) -> MultimodalModel:
    for section, known in SETTINGS.items():
        assert case["config"][section].keys() <= known
    trunk = JointTrunk(
        bert_name=golden.bert,
        max_video_len=case["config"]["dataset"]["max_video_len"],
        use_seg_emb=case["config"]["model"].get("use_seg_emb", False),
        pretrained=False,
    )
    width = trunk.hidden_size
    encoder = VideoTokenMLP(hidden_size=width, input_dim=golden.geometry["input_dim"])
    head_class = PARTS[case["model_cls"]][0]
    head = head_class(hidden_size=width, bert_name=golden.bert, pretrained=False)
    model = MultimodalModel({"video": encoder}, trunk, head)
    load_mmpt(model, state)
    return model.eval()


def inputs_of(io: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix("in."): v for k, v in io.items() if k.startswith("in.")}


@pytest.mark.golden_cases("models/vlm_mfmmlm_train*", "models/vlm_mtm_train*")
def test_masked_modelling_is_the_originals(golden: Golden, case_name: str):
    case, state, io = golden.model(case_name.removeprefix("models/"))
    _, loss, name = PARTS[case["model_cls"]]
    model, batch = build(golden, case, state), inputs_of(io)
    given = batch["vfeats"].clone()
    outputs = model(**batch)
    value = loss(**{p: outputs[p] for p in ("video_logits", "text_logits", "text_label")})
    value.backward()

    # the original zeroes the masked frames of its caller
    assert torch.equal(batch["vfeats"], given)
    zeroed = given.masked_fill(batch["video_label"][..., None], 0)
    found = {
        "video_logits": outputs["video_logits"],
        "text_logits": outputs["text_logits"],
        f"loss_{name}": value[None],
        "vfeats_after_forward": zeroed,
    }
    assert {f"out.{key}" for key in found} == {key for key in io if key.startswith("out.")}
    for key, tensor in found.items():
        torch.testing.assert_close(tensor, io[f"out.{key}"], **CLOSE)
    (gradients,) = (case["extra"][key] for key in case["extra"] if key.startswith("grad"))
    assert f"grad_norm_sum_{name}" in case["extra"]
    check_gradients(model, gradients)
