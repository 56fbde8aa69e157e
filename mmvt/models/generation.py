"""Text from models that tell the next token: greedily, or by beam search.

The search is transformers' own. What it asks is a :data:`NextToken`, so that it serves every model
that tells one; :func:`next_token_of` makes one of a model whose trunk takes the text so far as
``caps``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.models.base import Part, consumed_ports
from mmvt.models.beam_search import original_beam_search
from mmvt.models.decoding import Decoding
from mmvt.models.heads.language import LanguageHead
from mmvt.models.model import MultimodalModel
from mmvt.models.writing import WritingTrunk

# (rows, length) token ids to (rows, words) logits of the token that comes next. There are as many
# rows as examples, or a multiple: the beams of the first example come first.
NextToken = Callable[[Tensor], Tensor]


@torch.no_grad()
def generate(
    model: MultimodalModel,
    batch: Mapping[str, Tensor],
    decoding: Decoding,
    *,
    end: int,
    pad: int,
) -> Int[Tensor, "batch length"]:
    """Return prompts and what the model writes after them, up to an end token; padded.

    Args:
        model: its head is a :class:`~mmvt.models.heads.language.LanguageHead`.
        batch: wire keys. ``caps`` are the prompts, all of the same length; ``cmasks`` has the
            columns that a text of full length has.
        decoding: how to search. A text ends at the latest where the columns of ``cmasks``, less the
            three of ``[CLS]`` and two ``[SEP]``, are full.
        end: the token that ends a text.
        pad: the token behind an end.

    Raises:
        ConfigError: the model writes no text, or there is no room for any.
    """
    prompt = batch["caps"]
    max_length = min(decoding.max_decode_length, batch["cmasks"].shape[1] - 3)
    if max_length <= prompt.shape[1]:
        raise ConfigError(
            f"a text of at most {max_length} tokens has no room behind a prompt of "
            f"{prompt.shape[1]}; see max_decode_length, max_len and max_video_len"
        )
    return search(next_token_of(model, batch), prompt, max_length, decoding, end=end, pad=pad)


@torch.no_grad()
def write(
    model: MultimodalModel,
    batch: Mapping[str, Tensor],
    decoding: Decoding,
    *,
    end: int,
    pad: int,
) -> Int[Tensor, "batch length"]:
    """Return what a language model writes behind videos and prompts, up to an end token; padded.

    Args:
        model: its trunk is a :class:`~mmvt.models.writing.WritingTrunk`.
        batch: wire keys; ``caps`` are the prompts.
        decoding: how to search; lengths count what is written.
        end: the token that ends a text.
        pad: the token behind an end.

    Raises:
        ConfigError: the trunk is no language model.
    """
    trunk = model.trunk
    if not isinstance(trunk, WritingTrunk):
        raise ConfigError(f"{type(trunk).__name__} is no language model")
    values = _encoded(model, batch)
    ports = _inputs(trunk, values | {"text_label": batch["caps"]})
    del ports["text_label"]
    ids = trunk.write(decoding, end=end, pad=pad, **ports)
    return _end_once(ids, 0, end, pad)


def next_token_of(model: MultimodalModel, batch: Mapping[str, Tensor]) -> NextToken:
    """Return what tells the next token of texts about the videos of a batch.

    The encoders run once, the trunk for each token anew.

    Raises:
        ConfigError: the model's head writes no text.
    """
    head = model.head
    if not isinstance(head, LanguageHead):
        raise ConfigError(f"text is written by a LanguageHead, but not by {type(head).__name__}")
    # a mask of the whole sequence does not fit one that grows; the trunk makes its own
    seen = {name: value for name, value in batch.items() if name != "attention_mask"}
    fixed = _inputs(model.trunk, _encoded(model, seen))

    def next_token(ids: Tensor) -> Tensor:
        beams = len(ids) // len(batch["caps"])
        rows = {name: value.repeat_interleave(beams, dim=0) for name, value in fixed.items()}
        rows |= {"caps": ids, "cmasks": torch.ones_like(ids, dtype=torch.bool)}
        outputs = model.trunk(**rows)
        return head.next_token_logits(outputs["hidden"], outputs["word_embeddings"])

    return next_token


def search(
    next_token: NextToken,
    prompt: Int[Tensor, "batch prompt_length"],
    max_length: int,
    decoding: Decoding,
    *,
    end: int,
    pad: int,
) -> Int[Tensor, "batch length"]:
    """Return the best text of each example: prompt, tokens, end token if it came to one, padding.

    Args:
        next_token: tells how likely each token comes next.
        prompt: how each text begins.
        max_length: longest text, the prompt included.
        decoding: how to search; its ``max_decode_length`` is not looked at.
        end: the token that ends a text.
        pad: the token behind an end.
    """
    if decoding.rule == "original" and decoding.num_beams > 1:
        ids = original_beam_search(
            next_token,
            prompt,
            max_length,
            num_beams=decoding.num_beams,
            length_penalty=decoding.length_penalty,
            min_length=decoding.min_length,
            no_repeat_ngram_size=decoding.no_repeat_ngram_size,
            end=end,
            pad=pad,
        )
    else:
        ids = _transformers_search(next_token, prompt, max_length, decoding, end, pad)
    return _end_once(ids, prompt.shape[1], end, pad)


class _Steps(PreTrainedModel, GenerationMixin):
    """A model as transformers' search sees it."""

    config_class = PretrainedConfig
    main_input_name = "input_ids"

    def __init__(self, next_token: NextToken, device: torch.device) -> None:
        super().__init__(PretrainedConfig())
        self.next_token = next_token
        self._device = device

    @property
    @override
    def device(self) -> torch.device:
        return self._device

    @override
    def prepare_inputs_for_generation(  # type: ignore[override]  # the rest is of no use
        self, input_ids: Tensor, **_: Any
    ) -> dict[str, Any]:
        return {"input_ids": input_ids}

    @override
    def forward(self, input_ids: Tensor, **_: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=self.next_token(input_ids)[:, None])


def _transformers_search(
    next_token: NextToken,
    prompt: Int[Tensor, "batch prompt_length"],
    max_length: int,
    decoding: Decoding,
    end: int,
    pad: int,
) -> Int[Tensor, "batch length"]:
    config = GenerationConfig(
        max_length=max_length,
        min_length=decoding.min_length,
        num_beams=decoding.num_beams,
        # without beams it would be warned of
        length_penalty=decoding.length_penalty if decoding.num_beams > 1 else 1.0,
        no_repeat_ngram_size=decoding.no_repeat_ngram_size,
        do_sample=False,
        use_cache=False,
        eos_token_id=end,
        pad_token_id=pad,
    )
    steps: Any = _Steps(next_token, prompt.device)  # its types are for models of transformers
    ids: Tensor = steps.generate(prompt, generation_config=config)
    return ids


def _end_once(
    ids: Int[Tensor, "batch length"], prompt_length: int, end: int, pad: int
) -> Int[Tensor, "batch shorter_length"]:
    """Return texts padded behind their first end, without columns of nothing but padding."""
    ended = ids == end
    ended[:, :prompt_length] = False
    behind = ended.cumsum(1) - ended.long() > 0
    return ids.masked_fill(behind, pad)[:, : int((~behind).sum(1).max())]


def _encoded(model: MultimodalModel, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    values = dict(batch)
    for encoder in model.encoders.values():
        values |= encoder(**_inputs(encoder, values))
    return values


def _inputs(part: Part | nn.Module, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    required, optional = consumed_ports(part)
    return {name: values[name] for name in [*required, *(o for o in optional if o in values)]}
