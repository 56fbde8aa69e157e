"""The head of models that write text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.losses.classification import IGNORED
from mmvt.models.base import Trunk
from mmvt.models.heads.prediction import WordHead, text_states


class LanguageHead(WordHead):
    """Tells the next word at each labelled position of a trunk whose words see no later ones.

    Source: VLM (arXiv 2105.09996) §4, video captioning.

    Args:
        hidden_size: width of the trunk's states.
        vocab_size: words of the trunk; null = as many as ``bert_name`` has.
        bert_name: name or folder of a BERT.
        pretrained: begin with the weights of the prediction head of ``bert_name``, if it has one.
        transform: BERT's prediction transform, and a bias a word, before states are compared with
            words; false for language models, which have what they need, as is the default there.
    """

    produces = ("logits",)
    needs_causal = True
    defaults: ClassVar[Mapping[str, str]] = {
        "trunk": "JointTrunk",
        "loss": "LanguageCrossEntropy",
        "layout": "CaptionLayout",
        "predictor": "CaptionPredictor",
        "metric": "CaptionMetric",
    }

    def __init__(
        self,
        *,
        hidden_size: int,
        vocab_size: int | None = None,
        bert_name: str | None = None,
        pretrained: bool = True,
        transform: bool = True,
    ) -> None:
        super().__init__(hidden_size, vocab_size, bert_name, pretrained, transform)
        self.transforms = transform

    @override
    def check_trunk(self, trunk: Trunk) -> None:
        if trunk.tells_words and self.transforms:
            raise ConfigError(
                f"{type(trunk).__name__} tells words by itself; set head.transform: false"
            )

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        hidden: Float[Tensor, "batch length hidden"],
        word_embeddings: Float[Tensor, "words hidden"],
        text_label: Int[Tensor, "batch text_len"],
    ) -> dict[str, Tensor]:
        """Return ``logits`` (labelled positions, words), in the order of the batch.

        Raises:
            ConfigError: the trunk has another number of words than the head.
        """
        states = text_states(hidden, text_label.shape[1])[text_label != IGNORED]
        return {"logits": self.word_logits(self.transform(states), word_embeddings)}

    def next_token_logits(
        self,
        hidden: Float[Tensor, "batch length hidden"],
        word_embeddings: Float[Tensor, "words hidden"],
    ) -> Float[Tensor, "batch words"]:
        """Return what comes after the last position of each sequence.

        Raises:
            ConfigError: the trunk has another number of words than the head.
        """
        return self.word_logits(self.transform(hidden[:, -1]), word_embeddings)
