"""The contrastive loss of videos with several candidate captions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.losses.base import Loss


class MILNCE(Loss):
    """Several candidate captions a video, any of which may be right (multiple-instance NCE).

    The candidates of a video count together, by the sum of their exponentials. They are told from
    the captions of other videos, and the video from other videos with its captions. As in the
    paper's formula, a right pair counts once below the line; in its authors' code it counts twice.

    Source: MIL-NCE (arXiv 1912.06430) §3.2, equation 1.
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self, scores: Float[Tensor, "batch candidates_of_all"]
    ) -> Float[Tensor, ""]:
        """Return the mean over videos.

        Args:
            scores: of each video with the candidates of all, those of the first video first.

        Raises:
            ConfigError: videos do not have the same number of candidates.
        """
        videos, texts = scores.shape
        if texts % videos:
            raise ConfigError(f"{texts} candidate captions cannot be shared among {videos} videos")
        rows = scores.float().unflatten(1, (videos, -1))
        own = torch.eye(videos, dtype=torch.bool, device=scores.device)[..., None]
        right = rows.masked_fill(~own, -torch.inf).flatten(1)
        wrong = rows.transpose(0, 1).masked_fill(own, -torch.inf).flatten(1)
        every = torch.cat([rows.flatten(1), wrong], dim=1)
        return (every.logsumexp(1) - right.logsumexp(1)).mean()
