"""The segments of a video that moments are looked for in."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

CHUNKS = 6


def chunk_segments(chunks: int = CHUNKS) -> list[tuple[int, int]]:
    """Return (first, last) chunk of every segment: single chunks first, then all others."""
    alone = [(chunk, chunk) for chunk in range(chunks)]
    return [*alone, *itertools.combinations(range(chunks), 2)]


def segment_vectors(
    frames: Float[Tensor, "steps hidden"],
    mask: Bool[Tensor, " steps"],
    segments: Sequence[tuple[int, int]],
    chunk: float,
) -> tuple[Float[Tensor, "segments hidden"], Bool[Tensor, " segments"]]:
    """Return the mean state of each segment, and which segments begin within the video.

    A segment may end after the video: states of padding are then in the mean, as in the original.

    Source: VideoCLIP (arXiv 2109.14084) §5.4, zero-shot moment retrieval.

    Args:
        frames: states of the steps.
        mask: which steps are real.
        segments: first and last chunk of each.
        chunk: length of a chunk in steps.
    """
    spans = [(round(first * chunk), round((last + 1) * chunk)) for first, last in segments]
    vectors = torch.stack([frames[start:end].mean(dim=0) for start, end in spans])
    return vectors, mask[[start for start, _ in spans]]
