"""Windows of a long video put together again, and classes told from the texts of labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmvt.errors import DataError

NO_LABEL = 0


def merge_windows(
    values: Sequence[Float[Tensor, "_steps width"]], windows: Sequence[slice], num_steps: int
) -> Float[Tensor, "num_steps width"]:
    """Return the mean of what the windows say of each step; NaN for a step that is in none.

    Args:
        values: a row a real step of each window.
        windows: the steps of each.
        num_steps: length of the video.
    """
    total = values[0].new_zeros(num_steps, values[0].shape[1])
    times = values[0].new_zeros(num_steps, 1)
    for rows, window in zip(values, windows, strict=True):
        total[window] += rows
        times[window] += 1
    return total / times


def most_likely(
    values: Float[Tensor, "steps classes"],
) -> Int64[Tensor, " steps"]:
    """Return the class with the highest value of each step.

    Raises:
        DataError: a value is NaN, as where no window covers a step.
    """
    _refuse_nan(values)
    return values.argmax(dim=1)


def label_similarity(
    states: Float[Tensor, "steps hidden"],
    labels: Float[Tensor, "labels hidden"],
) -> Int64[Tensor, " steps"]:
    """Return the class of each step: its most similar label, counted from 1, or 0 for none.

    A step has none if it is no more similar to any label than two labels are to each other.

    Source: VideoCLIP (arXiv 2109.14084) §5.4, zero-shot action segmentation.

    Args:
        states: of the steps.
        labels: vectors of the labels' texts.

    Raises:
        DataError: a state is NaN, as where no window covers a step.
    """
    _refuse_nan(states)
    best, label = (states @ labels.T).max(dim=1)
    return torch.where(best > label_threshold(labels), label + 1, NO_LABEL)


def label_threshold(labels: Float[Tensor, "labels hidden"]) -> Tensor:
    """Return the largest similarity of two labels; -inf if there is but one."""
    between = labels @ labels.T
    return between.fill_diagonal_(-torch.inf).max()


def _refuse_nan(values: Tensor) -> None:
    wrong = values.isnan().any(dim=1).nonzero().flatten().tolist()
    if wrong:
        raise DataError(f"{len(wrong)} steps have no number, such as step {wrong[0]}")
