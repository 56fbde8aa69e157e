"""What heads that tell words share: BERT's prediction head, without its decoder.

The decoder is the word embeddings, which the trunk hands over by the port ``word_embeddings``: they
are stored, and trained, once.
"""

from __future__ import annotations

import logging
from pickle import UnpicklingError
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import BertConfig
from transformers.activations import get_activation
from transformers.models.bert.modeling_bert import BertPreTrainedModel
from typing_extensions import override

from mmvt.errors import CheckpointError, ConfigError
from mmvt.features.weights import find_pretrained
from mmvt.models.base import Head
from mmvt.models.bert import read_bert_config
from mmvt.models.encoders import INITIAL_STD

logger = logging.getLogger(__name__)


class PredictionTransform(nn.Module):
    """Makes of a state what is compared with embeddings: linear, activation, LayerNorm.

    Args:
        config: says width, activation and the LayerNorm's epsilon.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        # names of BERT's checkpoints
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = get_activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        nn.init.normal_(self.dense.weight, std=INITIAL_STD)
        nn.init.zeros_(self.dense.bias)

    @override
    def forward(self, states: Float[Tensor, "*rows hidden"]) -> Float[Tensor, "*rows hidden"]:
        """Return the transformed states."""
        transformed: Tensor = self.LayerNorm(self.activation(self.dense(states)))
        return transformed


class WordHead(Head):
    """The base of heads with a prediction transform, and with a bias a word where wanted.

    Args:
        hidden_size: width of the trunk's states.
        vocab_size: words that have a bias; 0 = there is no bias.
        bert_name: name or folder of a BERT.
        pretrained: begin with the weights of the prediction head of ``bert_name``, if it has one.
        transform: false = compare states as they are, without transform and bias.
    """

    def __init__(
        self,
        hidden_size: int,
        vocab_size: int | None,
        bert_name: str | None,
        pretrained: bool,
        transform: bool = True,
    ) -> None:
        super().__init__()
        if not transform:
            self.transform: nn.Module = nn.Identity()
            self.bias = None
            return
        if pretrained and bert_name is None:
            raise ConfigError("pretrained weights need a bert_name; set it, or pretrained: false")
        config = read_bert_config(bert_name, {})
        words = config.vocab_size if vocab_size is None else vocab_size
        config.hidden_size, config.vocab_size = hidden_size, words
        self.transform = PredictionTransform(config)
        self.bias = nn.Parameter(torch.zeros(words)) if words else None
        if pretrained and bert_name is not None:
            self._load(config, bert_name)

    def word_logits(
        self,
        states: Float[Tensor, "rows hidden"],
        word_embeddings: Float[Tensor, "words hidden"],
    ) -> Float[Tensor, "rows words"]:
        """Return how well each word goes with states that were transformed.

        Raises:
            ConfigError: there is a bias, but of another number of words.
        """
        logits = states @ word_embeddings.T
        if self.bias is None:
            return logits
        if len(self.bias) != len(word_embeddings):
            raise ConfigError(
                f"{type(self).__name__} has a bias of {len(self.bias)} words, but the trunk has "
                f"{len(word_embeddings)}; vocab_size says how many"
            )
        return logits + self.bias

    def _load(self, config: BertConfig, bert_name: str) -> None:
        state = read_predictions(config, bert_name)
        if state is None:
            logger.info("%r has no prediction head: %s begins anew", bert_name, type(self).__name__)
        else:
            self.load_state_dict(state)


def text_states(
    hidden: Float[Tensor, "batch length hidden"], text_len: int
) -> Float[Tensor, "batch text_len hidden"]:
    """Return the states of ``caps``: ``[CLS]``, and all from the video's ``[SEP]`` on.

    Args:
        hidden: states of ``[CLS] v1 … vV [SEP] w1 … wn [SEP]``.
        text_len: columns of ``caps``.
    """
    return torch.cat([hidden[:, :1], hidden[:, hidden.shape[1] - text_len + 1 :]], dim=1)


class _Predictions(BertPreTrainedModel):
    """The prediction head of a BERT by the names of its checkpoints, and nothing else of it."""

    _keys_to_ignore_on_load_unexpected = [".*"]  # noqa: RUF012  # transformers' own attribute

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.cls = nn.Module()
        self.cls.predictions = nn.Module()
        self.cls.predictions.transform = PredictionTransform(config)
        if config.vocab_size:
            self.cls.predictions.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.post_init()


def read_predictions(config: BertConfig, bert_name: str) -> dict[str, Tensor] | None:
    """Return ``transform.*`` and ``bias`` of a BERT's prediction head; None if it has none.

    Args:
        config: its width and words; 0 words leave the bias out.
        bert_name: name or folder of its weights, found like those of a trunk.

    Raises:
        CheckpointError: the file of weights is torn or unsafe.
        ConfigError: the head has another width, or another number of words.
    """
    try:
        # typed as a model alone
        loaded: Any = _Predictions.from_pretrained(
            find_pretrained(bert_name),
            config=config,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except OSError:
        return None
    except (SafetensorError, UnpicklingError) as error:
        raise CheckpointError(
            f"the weights of {bert_name!r} are torn or unsafe ({type(error).__name__}); they are "
            "not loaded"
        ) from error
    model, info = loaded
    if info["mismatched_keys"]:
        key, theirs, ours = sorted(info["mismatched_keys"])[0]
        raise ConfigError(
            f"{key} of {bert_name!r} is {tuple(theirs)}, but the head needs {tuple(ours)}"
        )
    state: dict[str, Tensor] = model.cls.predictions.state_dict()
    return None if info["missing_keys"] else state
