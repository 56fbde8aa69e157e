"""Losses against recorded inputs and outputs of the original code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmvt.losses.base import Loss
from mmvt.losses.classification import ArgmaxCrossEntropy, BinaryCrossEntropy, CrossEntropy
from mmvt.losses.contrastive import NCE, SymmetricNCE, TextToVideoNCE, VideoToTextNCE
from mmvt.losses.language import LanguageCrossEntropy
from mmvt.losses.masked import MFMMLM, MTM
from mmvt.losses.regression import L1, MSE, SmoothL1
from mmvt.models.base import consumed_ports
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden

LOSSES: dict[str, Loss] = {
    "MMContraLoss": SymmetricNCE(),
    "T2VContraLoss": TextToVideoNCE(),
    "V2TContraLoss": VideoToTextNCE(),
    "NCE": NCE(),
    "ArgmaxCrossEntropy": ArgmaxCrossEntropy(),
    "CrossEntropy": CrossEntropy(),
    "BCE": BinaryCrossEntropy(),
    "MSE": MSE(),
    "L1": L1(),
    "SmoothL1": SmoothL1(),
    "MFMMLM": MFMMLM(),
    "MTM": MTM(),
    "NLGLoss": LanguageCrossEntropy(),
}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def cases_of(recorded: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of each case, such as ``in.logits`` and ``out`` of ``MTM_nothing``."""
    cases: dict[str, dict[str, Tensor]] = {}
    for key, value in recorded.items():
        name, _, field = key.partition(".")
        cases.setdefault(name, {})[field] = value
    return cases


def value_of(loss: Loss, case: dict[str, Tensor]) -> Tensor:
    ports = {k.removeprefix("in."): v for k, v in case.items() if k.startswith("in.")}
    if "pooled_video" in ports:
        ports["scores"] = ports["pooled_video"] @ ports["pooled_text"].T
    required, optional = consumed_ports(loss)
    return loss(**{name: ports[name] for name in [*required, *optional] if name in ports})


@pytest.mark.golden_cases("losses*")
def test_every_recorded_loss_is_the_originals(golden: Golden, case_name: str):
    listed = golden.manifest["cases"][case_name]
    compared = set()
    for file in listed["files"]:
        for name, case in cases_of(golden.tensors(file)).items():
            expected = case["out"]
            if expected.isnan().any():
                # the original divides by the number of masked frames: none here
                assert name.startswith("MFMMLM")
                assert not case["in.video_label"].any()
                expected = text_term(case)
            value = value_of(LOSSES[name.partition("_")[0]], case)
            torch.testing.assert_close(
                value.reshape(expected.shape), expected, **CLOSE, msg=lambda m, n=name: f"{n}: {m}"
            )
            compared.add(name)
    assert compared == listed.keys() - {"files"}


def text_term(case: dict[str, Tensor]) -> Tensor:
    """Return the mean of minus the logarithm of what each masked word's own softmax gives it."""
    words = case["in.text_label"][case["in.text_label"] != -100]
    chances = case["in.text_logits"].softmax(1)[torch.arange(len(words)), words]
    return -chances.log().mean()[None]
