"""Contrastive losses against recorded inputs and outputs of the original code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mmvt.losses.base import Loss
from mmvt.losses.contrastive import NCE, SymmetricNCE, TextToVideoNCE, VideoToTextNCE

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, Tensor]:
    return load_file(shared / "golden" / "losses" / "losses.safetensors")


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        *((SymmetricNCE(), f"MMContraLoss_{size}") for size in ("b1", "b2", "b7", "large")),
        *((TextToVideoNCE(), f"T2VContraLoss_{size}") for size in ("b1", "b2", "b7")),
        *((VideoToTextNCE(), f"V2TContraLoss_{size}") for size in ("b1", "b2", "b7")),
    ],
)
def test_losses_of_pooled_vectors_are_the_originals(
    recorded: dict[str, Tensor], loss: Loss, name: str
):
    scores = recorded[f"{name}.in.pooled_video"] @ recorded[f"{name}.in.pooled_text"].T
    torch.testing.assert_close(
        loss(scores=scores)[None], recorded[f"{name}.out"], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("size", ["b1", "b2", "b7"])
def test_nce_of_matching_scores_is_the_originals(recorded: dict[str, Tensor], size: str):
    value = NCE()(align_scores=recorded[f"NCE_{size}.in.align_scores"])
    torch.testing.assert_close(value[None], recorded[f"NCE_{size}.out"], rtol=1e-4, atol=1e-5)
