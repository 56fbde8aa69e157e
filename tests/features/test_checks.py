"""What may go into a store; most of it is tested through its writer."""

from __future__ import annotations

import numpy as np
import pytest

from mmvt.datasets.manifest import Manifest
from mmvt.errors import StoreError
from mmvt.features.checks import checked_rows, checked_times


def test_rows_become_the_type_of_the_store_and_grids_become_rows() -> None:
    rows = checked_rows("v", np.ones((2, 4, 3)), Manifest(3, 2, "float16", 1.0, {}))
    assert (rows.shape, rows.dtype) == ((8, 3), np.float16)
    with pytest.raises(StoreError, match="too large for float16"):
        checked_rows("v", np.full((1, 3), 7e4), Manifest(3, 1, "float16", 1.0, {}))


def test_steps_without_times_follow_the_rate() -> None:
    assert checked_times("v", 3, None, 2.0).tolist() == [0, 0.5, 1]
    with pytest.raises(StoreError, match="2 steps, but 1 times"):
        checked_times("v", 2, np.zeros(1), 2.0)
