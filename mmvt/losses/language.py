"""The loss of generated text."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from mmvt.losses.base import Loss
from mmvt.losses.classification import IGNORED, mean_cross_entropy


class LanguageCrossEntropy(Loss):
    """The next word at each labelled position.

    Source: VLM (arXiv 2105.09996) §4.2, video captioning.
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        logits: Float[Tensor, "labelled words"],
        text_label: Int[Tensor, "batch text_len"],
    ) -> Float[Tensor, ""]:
        """Return the mean over labelled positions; 0 if there is none.

        Args:
            logits: of each labelled position, in the order of the batch.
            text_label: the word that comes next, -100 where there is none to be told.
        """
        return mean_cross_entropy(logits, text_label[text_label != IGNORED])
