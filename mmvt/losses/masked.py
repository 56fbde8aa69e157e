"""Losses of masked modelling: which frame, and which word, was hidden.

The logits are of masked positions only, in the order of the batch. A batch without any gives 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from mmvt.losses.base import Loss
from mmvt.losses.classification import IGNORED, mean_cross_entropy


class MFMMLM(Loss):
    """Masked frames and masked words, each for itself: the sum of two cross-entropies.

    Where no frame is masked, its term is 0, and likewise for words.

    Source: VLM (arXiv 2105.09996) §3.2, the baseline with two objectives.
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        video_logits: Float[Tensor, "masked_frames frames"],
        text_logits: Float[Tensor, "masked_words words"],
        text_label: Int[Tensor, "batch text_len"],
    ) -> Float[Tensor, ""]:
        """Return the mean over masked frames plus the mean over masked words.

        Args:
            video_logits: of each masked frame; its own is in column 0.
            text_logits: of each masked word, over the vocabulary.
            text_label: the word where one is masked, else -100.
        """
        words = text_label[text_label != IGNORED]
        frames = mean_cross_entropy(video_logits, _own_frame(video_logits))
        return frames + mean_cross_entropy(text_logits, words)


class MTM(Loss):
    """Masked tokens: frames and words are told from the same candidates, by one cross-entropy.

    Source: VLM (arXiv 2105.09996) §3.2.
    """

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        video_logits: Float[Tensor, "masked_frames candidates"],
        text_logits: Float[Tensor, "masked_words words_and_frames"],
        text_label: Int[Tensor, "batch text_len"],
    ) -> Float[Tensor, ""]:
        """Return the mean over all masked positions.

        A word has no frame of its own: the column that it lacks has the logit 0, as in the
        original. It adds 1 to the sum of exponentials.

        Args:
            video_logits: of each masked frame, over itself (column 0), other frames and words.
            text_logits: of each masked word, over words (from column 0) and frames: a column less.
            text_label: the word where one is masked, else -100.
        """
        words = text_label[text_label != IGNORED]
        return mean_cross_entropy(
            torch.cat([video_logits.float(), F.pad(text_logits.float(), (0, 1))]),
            torch.cat([_own_frame(video_logits), words]),
        )


def _own_frame(video_logits: Float[Tensor, "frames candidates"]) -> Int[Tensor, " frames"]:
    return torch.zeros(len(video_logits), dtype=torch.long, device=video_logits.device)
