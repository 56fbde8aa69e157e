"""The features of several experts in the rows of a video.

A row holds the features of a step of the video, then, for each other expert by name, its features
of that time and, for each of these, 1 where it has something to say, else 0.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float


def in_time(
    features: Float[np.ndarray, "own_steps *grid dim"], rate: float, steps: int
) -> tuple[Float[np.ndarray, "steps *grid dim"], Bool[np.ndarray, " steps"]]:
    """Return features at other times, and where there are any.

    A step is the mean of those whose middles lie in it. Where none does, it is the one in which the
    middle of the step lies. Behind the end there is nothing.

    Args:
        features: features, one row or map a step of their own.
        rate: own steps in one of the new ones.
        steps: number of new steps.
    """
    if rate == 1 and len(features) == steps:
        return features, np.ones(steps, bool)
    found = np.zeros((steps, *features.shape[1:]), np.float32)
    there = np.zeros(steps, bool)
    # the middle of own step j, j + 1/2, is in step i where i * rate <= j + 1/2 < (i + 1) * rate
    edges = np.ceil(np.arange(steps + 1) * rate - 0.5).astype(np.int64).clip(0, len(features))
    middles = np.floor((np.arange(steps) + 0.5) * rate).astype(np.int64)
    for step in range(steps):
        first, stop = edges[step], edges[step + 1]
        if first == stop:
            first, stop = middles[step], min(middles[step] + 1, len(features))
        if first < stop:
            found[step] = features[first:stop].astype(np.float32).mean(0)
            there[step] = True
    return found, there


def joined(
    main: Float[np.ndarray, "steps *grid dim"],
    others: Iterable[tuple[Float[np.ndarray, "..."], Bool[np.ndarray, " _"]]],
) -> Float[np.ndarray, "steps columns"]:
    """Return the rows of all experts.

    Args:
        main: features of the video.
        others: of each other expert, features at the times of the video's steps, or of equal parts
            of these, and where there are any.
    """
    steps, others = len(main), list(others)
    # half precision stays what it is: a clip is a small part of a long video
    dtype = np.result_type(main, *(features for features, _ in others))
    parts = [main.reshape(steps, int(np.prod(main.shape[1:])))]
    for features, there in others:
        rows = len(there) // max(steps, 1)
        width = rows * int(np.prod(features.shape[1:]))
        parts += [features.reshape(steps, width), there.astype(dtype).reshape(steps, rows)]
    return np.concatenate(parts, axis=1, dtype=dtype)
