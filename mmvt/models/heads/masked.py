"""Heads of masked modelling: which frame, and which word, was hidden.

Logits are made at masked positions only, in the order of the batch. A masked frame is told from the
frames of the whole batch that are real and not masked. Frames stand for themselves by their
embeddings, through which the gradient flows too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from mmvt.losses.classification import IGNORED
from mmvt.models.heads.prediction import WordHead, text_states


class MFMMLMHead(WordHead):
    """Tells masked frames from frames, and masked words from words.

    Source: VLM (arXiv 2105.09996) §3, masked frame and masked language modelling.

    Args:
        hidden_size: width of the trunk's states.
        vocab_size: words of the trunk; null = as many as ``bert_name`` has.
        bert_name: name or folder of a BERT.
        pretrained: begin with the weights of the prediction head of ``bert_name``, if it has one.
    """

    produces = ("video_logits", "text_logits")
    defaults: ClassVar[Mapping[str, str]] = {
        "trunk": "JointTrunk",
        "loss": "MFMMLM",
        "layout": "VideoTextLayout",
        "predictor": "RetrievalPredictor",
        "metric": "RetrievalMetric",
    }

    def __init__(
        self,
        *,
        hidden_size: int,
        vocab_size: int | None = None,
        bert_name: str | None = None,
        pretrained: bool = True,
    ) -> None:
        super().__init__(hidden_size, vocab_size, bert_name, pretrained)

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        hidden: Float[Tensor, "batch length hidden"],
        frame_embeddings: Float[Tensor, "batch video_len hidden"],
        word_embeddings: Float[Tensor, "words hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        video_label: Bool[Tensor, "batch video_len"],
        text_label: Int[Tensor, "batch text_len"],
    ) -> dict[str, Tensor]:
        """Return the logits of both kinds of masked positions.

        ``video_logits`` (masked frames, 1 + other frames) begin with the frame itself;
        ``text_logits`` (masked words, words) are over the vocabulary.

        Raises:
            ConfigError: the trunk has another number of words than the head.
        """
        frames, words = masked_states(hidden, video_label, text_label)
        frames = self.transform(frames)
        return {
            "video_logits": frame_logits(frames, frame_embeddings, vmasks, video_label),
            "text_logits": self.word_logits(self.transform(words), word_embeddings),
        }


class MTMHead(WordHead):
    """Tells masked frames and masked words alike from frames and words together.

    Source: VLM (arXiv 2105.09996) §3, masked token modelling.

    Args:
        hidden_size: width of the trunk's states.
        bert_name: name or folder of a BERT.
        pretrained: begin with the weights of the prediction head of ``bert_name``, if it has one.
    """

    produces = ("video_logits", "text_logits")
    defaults: ClassVar[Mapping[str, str]] = {**MFMMLMHead.defaults, "loss": "MTM"}

    def __init__(
        self, *, hidden_size: int, bert_name: str | None = None, pretrained: bool = True
    ) -> None:
        super().__init__(hidden_size, 0, bert_name, pretrained)

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        hidden: Float[Tensor, "batch length hidden"],
        frame_embeddings: Float[Tensor, "batch video_len hidden"],
        word_embeddings: Float[Tensor, "words hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        video_label: Bool[Tensor, "batch video_len"],
        text_label: Int[Tensor, "batch text_len"],
    ) -> dict[str, Tensor]:
        """Return the logits of both kinds of masked positions.

        ``video_logits`` (masked frames, 1 + other frames + words) begin with the frame itself;
        ``text_logits`` (masked words, words + other frames) with the vocabulary.
        """
        frames, words = map(self.transform, masked_states(hidden, video_label, text_label))
        among_frames = frame_logits(frames, frame_embeddings, vmasks, video_label)
        others = frame_embeddings[vmasks & ~video_label]
        return {
            "video_logits": torch.cat(
                [among_frames, self.word_logits(frames, word_embeddings)], dim=1
            ),
            "text_logits": torch.cat(
                [self.word_logits(words, word_embeddings), words @ others.T], dim=1
            ),
        }


def masked_states(
    hidden: Float[Tensor, "batch length hidden"],
    video_label: Bool[Tensor, "batch video_len"],
    text_label: Int[Tensor, "batch text_len"],
) -> tuple[Float[Tensor, "masked_frames hidden"], Float[Tensor, "masked_words hidden"]]:
    """Return the states of masked frames and those of masked words."""
    frames = hidden[:, 1 : video_label.shape[1] + 1]
    words = text_states(hidden, text_label.shape[1])
    return frames[video_label], words[text_label != IGNORED]


def frame_logits(
    frames: Float[Tensor, "masked_frames hidden"],
    frame_embeddings: Float[Tensor, "batch video_len hidden"],
    vmasks: Bool[Tensor, "batch video_len"],
    video_label: Bool[Tensor, "batch video_len"],
) -> Float[Tensor, "masked_frames candidates"]:
    """Return how well masked frames go with themselves (column 0) and with all other real ones."""
    own = (frames * frame_embeddings[video_label]).sum(-1, keepdim=True)
    others = frame_embeddings[vmasks & ~video_label]
    return torch.cat([own, frames @ others.T], dim=1)
