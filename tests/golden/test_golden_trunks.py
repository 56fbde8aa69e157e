"""Trunks and their heads against recorded weights, outputs, losses and gradients of the original.

What the original's evaluation of isolated layers computes in two passes is one here, and what it
raises where it indexes the wrong output (``reference_error``) is a value here.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmvt.losses.base import Loss
from mmvt.models.base import consumed_ports
from tests.golden.conftest import Golden
from tests.golden.gradients import check_gradients
from tests.golden.originals import CLOSE, LOSSES, build, inputs_of

pytestmark = pytest.mark.golden

CASES = (
    "models/videoclip_separate*",
    "models/videoclip_action_*",
    "models/share*",
    "models/vlm_joint_*",
    "models/vlm_mtm_eval_*",
    "models/vlm_mfmmlm_eval_*",
    "models/vlm_action_*",
)
GRADIENTS = "grad_norm_sum_"
SAID = {"losses", "note", "reference_error"}  # by the way


@pytest.mark.golden_cases(*CASES)
def test_a_case_is_the_originals(golden: Golden, case_name: str):
    case, state, io = golden.model(case_name.removeprefix("models/"))
    model, batch = build(golden, case, state), inputs_of(case, io)
    given = {key: value.clone() for key, value in batch.items()}
    outputs = model(**batch)
    assert all(torch.equal(batch[key], given[key]) for key in given), "an input is changed"

    names = [key.removeprefix("out.") for key in io if key.startswith("out.")]
    assert set(names) == set(golden.manifest["cases"][case_name]["outputs"])
    for name in names:
        torch.testing.assert_close(
            found(name, outputs, io[f"out.{name}"].shape), io[f"out.{name}"], **CLOSE
        )
    for key in case["extra"].keys() - SAID:
        assert key.startswith(GRADIENTS), key
        model.zero_grad()
        value_of(LOSSES[key.removeprefix(GRADIENTS)], model(**batch)).backward()
        check_gradients(model, case["extra"][key])


def found(name: str, outputs: dict[str, Tensor], shape: torch.Size) -> Tensor:
    """Return our value of a recorded output."""
    if name.startswith("loss_"):
        return value_of(LOSSES[name.removeprefix("loss_")], outputs)[None]
    if name == "sequence_output":
        return outputs["hidden"]
    if name == "logits_sum":
        return outputs["logits"].sum(-1)
    if name == "logits_argmax":
        return outputs["logits"].argmax(-1)
    if name == "logits":  # of segmentation, the first classes alone are recorded
        return outputs["logits"][..., : shape[-1]]
    return outputs[name]


def value_of(loss: Loss, outputs: dict[str, Tensor]) -> Tensor:
    required, _ = consumed_ports(loss)
    return loss(**{name: outputs[name] for name in required})


@pytest.mark.golden_cases("models/vlm_joint_*", "models/vlm_mtm_eval_*", "models/vlm_mfmmlm_eval_*")
@torch.no_grad()
def test_videos_and_texts_of_isolated_layers_can_be_encoded_apart(golden: Golden, case_name: str):
    case, state, io = golden.model(case_name.removeprefix("models/"))
    if not case["config"]["dataset"].get("num_iso_layer"):
        return  # video and text see each other
    model, batch = build(golden, case, state), inputs_of(case, io)
    words = {"caps": batch["caps"][:, [0, 1, 1]], "cmasks": batch["cmasks"][:, [0, 1, 1]]}
    video = model(**{**batch, **words})["pooled_video"]
    torch.testing.assert_close(video, io["out.pooled_video"], **CLOSE)
    frame = {"vfeats": batch["vfeats"][:, :1], "vmasks": batch["vmasks"][:, :1] & False}
    text = model(**{**batch, **frame})["pooled_text"]
    torch.testing.assert_close(text, io["out.pooled_text"], **CLOSE)
