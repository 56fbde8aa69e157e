"""What may go into a feature store."""

from __future__ import annotations

import numpy as np

from mmvt.datasets.manifest import Manifest
from mmvt.datasets.sharded_tensor import all_finite
from mmvt.errors import StoreError


def checked_rows(where: str, rows: np.ndarray, manifest: Manifest) -> np.ndarray:
    """Return rows as they are stored.

    Raises:
        StoreError: they are empty, of another shape, not finite, or too large for the type.
    """
    shape = (manifest.dim,) if manifest.grid == 1 else (manifest.grid**2, manifest.dim)
    if rows.shape[1:] != shape or len(rows) == 0:
        raise StoreError(
            f"{where} has rows of shape {rows.shape}, but it must be "
            f"(1 or more, {', '.join(map(str, shape))})"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = rows.astype(manifest.dtype)
    if not all_finite(numbers):
        problem = f"too large for {manifest.dtype}" if all_finite(rows) else "not finite"
        raise StoreError(f"{where} has rows that are {problem}")
    return numbers.reshape(-1, manifest.dim)


def checked_times(where: str, steps: int, times: np.ndarray | None, fps: float) -> np.ndarray:
    """Return the time of each step in seconds.

    Raises:
        StoreError: there is no finite time for each step.
    """
    if times is None:
        if fps == 0:
            raise StoreError(f"{where} has no times, and the store no rate to tell them by")
        return np.arange(steps) / fps
    if len(times) != steps:
        raise StoreError(f"{where} has {steps} steps, but {len(times)} times")
    if not np.isfinite(times).all():
        raise StoreError(f"{where} has times that are not finite")
    return np.asarray(times, np.float64)
