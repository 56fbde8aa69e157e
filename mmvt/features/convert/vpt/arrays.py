"""What VPT made of the frames of a segment, checked and reduced to what a store keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float16, Shaped
from torch.nn import functional as F

from mmvt.errors import DataError
from mmvt.features.convert.vpt.segment import Segment

HIDDEN, POOLED, FRAMES = "clip_last_hidden_states", "clip_pooled_embedding", "frame_embeddings"
STORES = {HIDDEN: "frames", POOLED: "pooled", FRAMES: "pooled"}


class Rows(NamedTuple):
    """The rows of a segment.

    Attributes:
        times: seconds of each step.
        of: steps by name of the array that they come from.
        shapes: shape of a frame in each array.
    """

    times: Float[np.ndarray, " steps"]
    of: Mapping[str, Float16[np.ndarray, "steps *grid dim"]]
    shapes: Mapping[str, tuple[int, ...]]


def rows_of(segment: Segment, arrays: Mapping[str, Any], grid: int) -> Rows:
    """Return what a store keeps of the arrays of a segment.

    ``clip_last_hidden_states`` (577, 1024) loses its first token, whose normalised form is the
    pooled vector, and becomes a map of ``grid`` × ``grid`` means.

    Args:
        segment: the segment.
        arrays: what the source holds of it.
        grid: side of the map; where it does not divide that of the source, means overlap.

    Raises:
        DataError: an array is missing, has another shape, holds NaN or was never computed, or its
            frame is not of the segment.
    """
    found = {name: frames(name, arrays[name]) for name in STORES if name in arrays}
    if not found:
        raise DataError(f"has no {HIDDEN}, {POOLED} or {FRAMES}")
    if {POOLED, FRAMES} <= found.keys():
        raise DataError(f"has both {POOLED} and {FRAMES}")
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"arrays are of different numbers of frames: {counts}")
    kept = {
        name: halved(name, grid_means(array, grid) if name == HIDDEN else array)
        for name, array in found.items()
    }
    shapes = {name: array.shape[1:] for name, array in found.items()}
    count = next(iter(counts.values()))
    if count > 1 or FRAMES in found:
        return Rows(_spread(segment, count), kept, shapes)
    return Rows(time_of(segment, arrays.get("timestamp")), kept, shapes)


def frames(name: str, value: Any) -> Float[np.ndarray, "frames *tokens dim"]:
    """Return an array as frames of floating point numbers.

    Raises:
        DataError: it is none.
    """
    if value is None:
        raise DataError(f"has no {name}")
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise DataError(f"{name} holds {array.dtype}, not floating point numbers")
    if array.size == 0:
        raise DataError(f"{name} is empty")
    whole = array[None] if array.ndim == (2 if name == HIDDEN else 1) else array
    if whole.ndim != (3 if name == HIDDEN else 2):
        raise DataError(f"{name} has the shape {array.shape}")
    if name == HIDDEN and math.isqrt(whole.shape[1] - 1) ** 2 != whole.shape[1] - 1:
        raise DataError(f"{name} has {whole.shape[1]} tokens, not one and those of a square")
    if not np.isfinite(whole).all():
        raise DataError(f"{name} holds NaN or infinite numbers")
    if not whole.reshape(len(whole), -1).any(1).all():
        raise DataError(f"{name} is all zeros: it was never computed")
    return whole


def grid_means(
    hidden: Float[np.ndarray, "frames tokens dim"], grid: int
) -> Float[np.ndarray, "frames *cells dim"]:
    """Return the means of ``grid`` × ``grid`` parts of maps whose first token is left out.

    A map of one cell is a row.

    Raises:
        DataError: the maps are smaller than that.
    """
    count, tokens, dim = hidden.shape
    side = math.isqrt(tokens - 1)
    if side < grid:
        raise DataError(f"{HIDDEN} is a map of {side} x {side}, less than {grid} x {grid}")
    maps = torch.from_numpy(hidden[:, 1:].astype(np.float32)).reshape(count, side, side, dim)
    means = F.adaptive_avg_pool2d(maps.permute(0, 3, 1, 2), grid)
    cells = means.flatten(2).transpose(1, 2).numpy()
    return cells[:, 0] if grid == 1 else cells


def halved(
    name: str, array: Float[np.ndarray, "frames *tokens dim"]
) -> Float16[np.ndarray, "frames *tokens dim"]:
    """Return numbers in half precision.

    Raises:
        DataError: one is too large.
    """
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise DataError(f"{name} holds {np.abs(array).max():g}, too large for float16")
    return half


def time_of(
    segment: Segment, timestamp: Shaped[np.ndarray, "..."] | float | None
) -> Float[np.ndarray, " 1"]:
    """Return the seconds of the frame of a segment; its middle unless there is a timestamp.

    Raises:
        DataError: the timestamp is none, or lies outside of the segment.
    """
    if timestamp is None:
        return np.array([(segment.start + segment.end) / 2])
    time = np.asarray(timestamp).ravel()
    if time.size != 1 or time.dtype.kind not in "fiu" or not np.isfinite(time[0]):
        raise DataError(f"timestamp is {timestamp!r}, not a time in seconds")
    if not segment.start <= time[0] < segment.end:
        raise DataError(
            f"timestamp {time[0]:g} s lies outside of the segment, "
            f"{segment.start:g} to {segment.end:g} s"
        )
    return time.astype(np.float64)


def _spread(segment: Segment, count: int) -> Float[np.ndarray, " frames"]:
    """Return the times of frames as VPT takes them where it makes npz: from the start on."""
    # the last frame is still of this segment, where the next one begins
    last = np.nextafter(segment.end, segment.start)
    return np.linspace(segment.start, last, count)
