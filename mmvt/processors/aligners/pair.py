"""The aligner of downstream pairs: a whole video and one caption."""

from __future__ import annotations

from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Layout
from mmvt.processors.sampling import WholeSampler


class PairAligner(SampledAligner):
    """The whole video and its first caption; nothing is drawn.

    Args:
        layout: writes the pair into tensors; it cuts what is too long.
    """

    def __init__(self, *, layout: Layout) -> None:
        super().__init__(sampler=WholeSampler(), layout=layout)
