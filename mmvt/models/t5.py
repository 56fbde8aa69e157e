"""The trunk of encoder-decoder language models of the T5 family."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import AutoModelForSeq2SeqLM, PretrainedConfig
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
    used_columns,
)

FAMILY = ("t5", "mt5", "umt5", "longt5")


class T5Trunk(WritingTrunk):
    """A T5 that reads video tokens and a prompt, and writes.

    The encoder runs over the video tokens and the words of the prompt behind them, the decoder over
    what is written. Nothing of what is to be written is ever encoded.

    Source: VPT (arXiv 2304.10505) §3; T5 (arXiv 1910.10683).

    Args:
        model_name: name or folder of a model of the T5 family; null = built from ``model_config``.
        model_config: fields of its config.json to replace, such as ``d_model``.
        pretrained: begin with the weights of ``model_name``, else with random ones.
        lora: adapters that learn in place of the model's weights: ``r``, ``alpha``, ``dropout``,
            ``target_modules``, all optional (see :func:`mmvt.models.lora.add_lora`); null = none.
        prompt_states: a frozen copy of the encoder, as it is at first, reads the prompt alone, and
            its states stand behind the video in place of the embeddings of words.
    """

    def __init__(
        self,
        *,
        model_name: str | None = None,
        model_config: dict[str, Any] | None = None,
        pretrained: bool = True,
        lora: dict[str, Any] | None = None,
        prompt_states: bool = False,
    ) -> None:
        super().__init__()
        self.t5: Any = build_language_model(
            model_name,
            model_config or {},
            "t5",
            pretrained,
            AutoModelForSeq2SeqLM.from_config,
            AutoModelForSeq2SeqLM.from_pretrained,
        )
        if self.t5.config.model_type not in FAMILY:
            raise ConfigError(
                f"model_name {model_name!r} is a {self.t5.config.model_type}, not of the T5 family"
                f" ({', '.join(FAMILY)})"
            )
        self.scales_states = _scales_states(self.t5.config)
        # the whole family begins with it, but not all of its configurations say so
        self.t5.config.decoder_start_token_id = self.t5.config.pad_token_id
        self.hidden_size: int = self.t5.config.d_model
        self.num_words = self.t5.config.vocab_size
        self.prompt_encoder: Any = None
        if prompt_states:
            self.prompt_encoder = copy.deepcopy(self.t5.get_encoder()).eval().requires_grad_(False)
        if lora is not None:
            add_lora(self.t5, lora)

    @override
    def train(self, mode: bool = True) -> T5Trunk:
        """Set the mode of all but the frozen encoder, which never drops anything."""
        super().train(mode)
        if self.prompt_encoder is not None:
            self.prompt_encoder.eval()
        return self

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
        """
        masks = vmasks if token_masks is None else token_masks
        embeds, mask = self._inputs(video_embeddings, masks, caps, cmasks)
        labels = text_label[:, : used_columns(text_label)]
        start = labels.new_full((len(labels), 1), self.t5.config.decoder_start_token_id)
        shown = torch.cat([start, labels[:, :-1]], dim=1)
        states = self.t5.decoder(
            input_ids=shown.masked_fill(shown == IGNORED, self.t5.config.pad_token_id),
            encoder_hidden_states=self.t5.encoder(
                inputs_embeds=embeds, attention_mask=mask
            ).last_hidden_state,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        if self.scales_states:
            states = states * self.hidden_size**-0.5
        hidden = padded_to(states, text_label.shape[1])
        return {"hidden": hidden, "word_embeddings": self.t5.get_output_embeddings().weight}

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
        embeds, mask = self._inputs(video_embeddings, masks, caps, cmasks)
        config = generation_config(decoding, end, pad)
        config.decoder_start_token_id = self.t5.config.decoder_start_token_id
        ids: Tensor = self.t5.generate(
            inputs_embeds=embeds, attention_mask=mask.long(), generation_config=config
        )
        return ids[:, 1:]

    def _inputs(
        self,
        video_embeddings: Float[Tensor, "batch tokens hidden"],
        token_masks: Bool[Tensor, "batch tokens"],
        caps: Int[Tensor, "batch prompt_len"],
        cmasks: Bool[Tensor, "batch prompt_len"],
    ) -> tuple[Float[Tensor, "batch length hidden"], Bool[Tensor, "batch length"]]:
        """Return what the encoder reads, without gaps: T5 tells places by their distance."""
        found = packed(
            torch.cat([video_embeddings, self._words(caps, cmasks)], dim=1),
            torch.cat([token_masks, cmasks], dim=1),
        )
        return found.values, found.mask

    def _words(
        self, caps: Int[Tensor, "batch prompt_len"], cmasks: Bool[Tensor, "batch prompt_len"]
    ) -> Float[Tensor, "batch prompt_len hidden"]:
        """Return the words of a prompt as the encoder reads them behind the video."""
        if self.prompt_encoder is None or caps.shape[1] == 0:
            words: Tensor = self.t5.get_input_embeddings()(caps)
            return words
        with torch.no_grad():
            states = self.prompt_encoder(input_ids=caps, attention_mask=cmasks).last_hidden_state
        # where a prompt is empty they may be NaN
        return states.where(cmasks[..., None], 0.0)


def _scales_states(config: PretrainedConfig) -> bool:
    """Return whether states are scaled before words are read from them; T5 v1.1's are not."""
    # not all of the family say so; mT5 is of the later kind
    told = config.to_dict()
    return bool(told.get("scale_decoder_outputs", config.model_type == "umt5"))
