"""The contract of losses."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class Loss(nn.Module):
    """A training objective; parameters of ``forward`` are ports, as in :mod:`mmvt.models.base`."""

    @abstractmethod
    def forward(self, **tensors: Tensor) -> Tensor:
        """Return the scalar loss, averaged over the examples of the batch."""
        raise NotImplementedError
