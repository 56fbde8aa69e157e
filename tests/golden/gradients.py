"""Compares gradients with the norms and sums that were recorded of the original's."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from mmvt.models.convert_mmpt import to_mmpt
from mmvt.models.model import MultimodalModel


def check_gradients(model: MultimodalModel, expected: Mapping[str, list[float] | None]) -> None:
    """Assert that the same parameters have a gradient, each with its recorded norm and sum."""
    ours = to_mmpt({k: p.grad for k, p in model.named_parameters() if p.grad is not None})
    assert ours.keys() == {key for key, value in expected.items() if value is not None}
    for key, gradient in ours.items():
        norm, total = expected[key]
        assert gradient.double().norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-5), key
        # a sum of n numbers of that norm is off by up to sqrt(n) times what each may be
        slack = 1e-5 + 1e-5 * norm * math.sqrt(gradient.numel())
        assert gradient.double().sum().item() == pytest.approx(total, rel=1e-4, abs=slack), key
