"""The trunk of decoder-only language models: video and prompt as a prefix."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import AutoModelForCausalLM
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.losses.classification import IGNORED
from mmvt.models.decoding import Decoding
from mmvt.models.lora import add_lora
from mmvt.models.writing import (
    WritingTrunk,
    build_language_model,
    generation_config,
    packed,
    padded_to,
    unpacked_rows,
    used_columns,
)


class CausalLMTrunk(WritingTrunk):
    """A decoder-only language model behind a prefix: the video's tokens, then the prompt's words.

    Each position sees those before it. The first place of ``text_label`` is told by the last
    position of the prefix, so that there must be one: a model with a token for the beginning of a
    text has it before all else.

    Source: prefixes of a frozen or tuned language model, as in LLaVA (arXiv 2304.08485) §4.1.

    Args:
        model_name: name or folder of a decoder-only model; null = built from ``model_config``.
        model_config: fields of its config.json to replace, such as ``hidden_size``.
        model_type: which kind of model ``model_config`` alone is of, by transformers' names.
        pretrained: begin with the weights of ``model_name``, else with random ones.
        lora: adapters that learn in place of the model's weights: ``r``, ``alpha``, ``dropout``,
            ``target_modules``, all optional (see :func:`mmvt.models.lora.add_lora`); null = none.
    """

    def __init__(
        self,
        *,
        model_name: str | None = None,
        model_config: dict[str, Any] | None = None,
        model_type: str = "llama",
        pretrained: bool = True,
        lora: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.lm: Any = build_language_model(
            model_name,
            model_config or {},
            model_type,
            pretrained,
            AutoModelForCausalLM.from_config,
            AutoModelForCausalLM.from_pretrained,
        )
        if self.lm.config.is_encoder_decoder:
            raise ConfigError(f"model_name {model_name!r} is no decoder-only model")
        if self.lm.get_output_embeddings().bias is not None:
            raise ConfigError(f"model_name {model_name!r} has a bias a word, which no head adds")
        self.hidden_size: int = self.lm.config.hidden_size
        self.num_words = self.lm.config.vocab_size
        if lora is not None:
            add_lora(self.lm, lora)

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        video_embeddings: Float[Tensor, "batch tokens hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        caps: Int[Tensor, "batch prompt_len"],
        cmasks: Bool[Tensor, "batch prompt_len"],
        text_label: Int[Tensor, "batch text_len"],
        token_masks: Bool[Tensor, "batch tokens"] | None = None,
    ) -> dict[str, Tensor]:
        """Return ``hidden`` (batch, text_len, hidden) and ``word_embeddings`` (words, hidden).

        Args:
            video_embeddings: tokens of the video.
            vmasks: which frames are real.
            caps: prompts.
            cmasks: which of their tokens are real.
            text_label: what is to be written, -100 behind it.
            token_masks: which video tokens are real; ``vmasks`` unless given.

        Raises:
            ConfigError: an example has neither video nor prompt.
        """
        masks = vmasks if token_masks is None else token_masks
        prefix, prefix_mask = self._prefix(video_embeddings, masks, caps, cmasks)
        columns = used_columns(text_label)
        # the last label is told, but never shown
        shown = text_label[:, : columns - 1]
        words = self._words(shown.clamp(min=0))
        values = torch.cat([prefix, words], dim=1)
        sequence = packed(values, torch.cat([prefix_mask, shown != IGNORED], dim=1))
        states = self.lm.get_decoder()(
            inputs_embeds=sequence.values, attention_mask=sequence.mask.long(), use_cache=False
        ).last_hidden_state
        apart = unpacked_rows(states, sequence.place, values.shape[1])
        last = prefix_mask.sum(1) - 1
        first = states[torch.arange(len(states), device=states.device), last][:, None]
        told = torch.cat([first, apart[:, prefix.shape[1] :]], dim=1)
        return {
            "hidden": padded_to(told, text_label.shape[1]),
            "word_embeddings": self.lm.get_output_embeddings().weight,
        }

    @override
    def write(
        self,
        decoding: Decoding,
        *,
        end: int,
        pad: int,
        video_embeddings: Float[Tensor, "batch tokens hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        caps: Int[Tensor, "batch prompt_len"],
        cmasks: Bool[Tensor, "batch prompt_len"],
        token_masks: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Int[Tensor, "batch length"]:
        masks = vmasks if token_masks is None else token_masks
        prefix = packed(*self._prefix(video_embeddings, masks, caps, cmasks), to_the_right=True)
        ids: Tensor = self.lm.generate(
            inputs_embeds=prefix.values,
            attention_mask=prefix.mask.long(),
            generation_config=generation_config(decoding, end, pad),
        )
        return ids

    def _prefix(
        self,
        video_embeddings: Float[Tensor, "batch tokens hidden"],
        token_masks: Bool[Tensor, "batch tokens"],
        caps: Int[Tensor, "batch prompt_len"],
        cmasks: Bool[Tensor, "batch prompt_len"],
    ) -> tuple[Float[Tensor, "batch length hidden"], Bool[Tensor, "batch length"]]:
        """Return what stands before the text that is written, with gaps, and which of it is real.

        Raises:
            ConfigError: an example has nothing there.
        """
        parts, masks = [video_embeddings, self._words(caps)], [token_masks, cmasks]
        if (begin := self.lm.config.bos_token_id) is not None:
            parts.insert(0, self._words(caps.new_full((len(caps), 1), begin)))
            masks.insert(0, cmasks.new_ones(len(caps), 1))
        mask = torch.cat(masks, dim=1)
        if not mask.any(1).all():
            raise ConfigError("an example has neither video nor prompt to write behind")
        return torch.cat(parts, dim=1), mask

    def _words(self, ids: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length hidden"]:
        words: Tensor = self.lm.get_input_embeddings()(ids)
        return words
