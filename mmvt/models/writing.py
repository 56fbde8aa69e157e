"""Trunks that write with a language model of transformers: what they share.

Video tokens, a prompt and what is written stand in one sequence or in two; what is not real is
left out of it, so that neither padding nor the length of a batch changes a position.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, GenerationConfig, PretrainedConfig, PreTrainedModel

from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError, did_you_mean
from mmvt.features.weights import pretrained_place
from mmvt.losses.classification import IGNORED
from mmvt.models.base import Trunk
from mmvt.models.decoding import Decoding

COLUMNS = 8  # labels are padded to a multiple of it, as fast kernels like it


class WritingTrunk(Trunk):
    """A trunk whose language model tells words by itself, without a head's transform.

    Attributes:
        produces: ``hidden`` (batch, text_len, hidden), what each place of ``text_label`` is told
            by, ready to be compared with ``word_embeddings`` (words, hidden).
        num_words: words that the language model knows; null = it does not tell.
    """

    num_words: int | None = None
    produces = ("hidden", "word_embeddings")
    encodes_apart = False
    tells_words = True
    is_causal = True

    @abstractmethod
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
        """Return what is written behind video and prompt, up to an end token; padded.

        It is transformers' own search.

        Args:
            decoding: how to search; its lengths count what is written, the end token included.
            end: the token that ends a text.
            pad: the token behind an end.
            video_embeddings: tokens of the video.
            vmasks: which frames are real.
            caps: prompts.
            cmasks: which of their tokens are real.
            token_masks: which video tokens are real; ``vmasks`` unless given.
        """
        raise NotImplementedError


class Packed(NamedTuple):
    """Sequences without gaps.

    Attributes:
        values: what stood in them, moved to the left (or to the right); the rest is undefined.
        mask: true where something stands.
        place: column that each came from.
    """

    values: Float[Tensor, "batch packed_length hidden"]
    mask: Bool[Tensor, "batch packed_length"]
    place: Int[Tensor, "batch packed_length"]


def packed(
    values: Float[Tensor, "batch length hidden"],
    mask: Bool[Tensor, "batch length"],
    *,
    to_the_right: bool = False,
) -> Packed:
    """Return sequences whose real positions stand together, in their order.

    They are as long as the longest has real positions.

    Args:
        values: a row a position.
        mask: which positions are real.
        to_the_right: leave the gap before them instead of behind them.
    """
    length = max(1, int(mask.sum(1).max()))
    order = (mask if to_the_right else ~mask).long().argsort(dim=1, stable=True)
    place = order[:, -length:] if to_the_right else order[:, :length]
    moved = values.gather(1, place[..., None].expand(-1, -1, values.shape[-1]))
    return Packed(moved, mask.gather(1, place), place)


def unpacked_rows(
    states: Float[Tensor, "batch packed_length hidden"],
    place: Int[Tensor, "batch packed_length"],
    length: int,
) -> Float[Tensor, "batch length hidden"]:
    """Return rows of packed sequences in the columns that they came from; zeros elsewhere.

    Args:
        states: a row a position.
        place: of :class:`Packed`.
        length: how many columns there were.
    """
    rows = states.new_zeros(len(states), length, states.shape[-1])
    return rows.scatter(1, place[..., None].expand(-1, -1, states.shape[-1]), states)


def used_columns(text_label: Int[Tensor, "batch text_len"]) -> int:
    """Return how many columns hold labels, up to a multiple of :data:`COLUMNS` if there is one.

    Decoding what no example has labels for would be work for nothing.
    """
    places = torch.arange(1, text_label.shape[1] + 1, device=text_label.device)
    used = int(((text_label != IGNORED) * places).max()) if text_label.numel() else 0
    return min(-(-max(used, 1) // COLUMNS) * COLUMNS, text_label.shape[1])


def padded_to(
    states: Float[Tensor, "batch used hidden"], columns: int
) -> Float[Tensor, "batch columns hidden"]:
    """Return states with rows of zeros up to so many columns."""
    return torch.nn.functional.pad(states, (0, 0, 0, columns - states.shape[1]))


def generation_config(decoding: Decoding, end: int, pad: int) -> GenerationConfig:
    """Return how transformers searches; lengths count new tokens.

    Raises:
        ConfigError: the rule is that of the original VLM, which wrote by BERT alone.
    """
    if decoding.rule == "original":
        raise ConfigError("rule: original is the search of VLM's BERT; language models have theirs")
    beams = decoding.num_beams > 1
    return GenerationConfig(
        max_new_tokens=decoding.max_decode_length,
        min_new_tokens=decoding.min_length,
        num_beams=decoding.num_beams,
        length_penalty=decoding.length_penalty if beams else 1.0,
        no_repeat_ngram_size=decoding.no_repeat_ngram_size,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=pad,
    )


def build_language_model(
    name: str | None,
    fields: Mapping[str, Any],
    model_type: str,
    pretrained: bool,
    build: Callable[[PretrainedConfig], PreTrainedModel],
    load: Callable[..., Any],
) -> PreTrainedModel:
    """Return a language model in training mode: by name, by folder, or small by its fields.

    Args:
        name: name, folder or GGUF file, found like those of a BERT; None = built from ``fields``
            alone.
        fields: fields of its config.json to replace.
        model_type: which kind of configuration ``fields`` alone are for.
        pretrained: begin with the weights of ``name``, else with random ones.
        build: makes a model of a configuration.
        load: transformers' ``from_pretrained``.

    Raises:
        MissingPackageError: it is in a GGUF file, and a package that reads it is not installed.
        MissingWeightsError: the model is not there; the message says what to put where.
        CheckpointError: the file of weights is torn or unsafe.
        ConfigError: a field does not exist, or the configuration is impossible.
    """
    if pretrained and name is None:
        raise ConfigError("pretrained weights need a name; set model_name, or pretrained: false")
    try:
        if name is None:
            _check_fields(fields, AutoConfig.for_model(model_type))
            config = AutoConfig.for_model(model_type, **fields)
        else:
            config = AutoConfig.from_pretrained(
                **pretrained_place(name), local_files_only=True, trust_remote_code=False
            )
            _check_fields(fields, config)
            config.update(fields)
        if not pretrained:
            return build(config).train()
        model: PreTrainedModel = load(
            **pretrained_place(str(name)),
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
        )
    except OSError as error:
        raise MissingWeightsError(
            f"no language model {name!r}: put its config.json and model.safetensors into "
            f"{Path('pretrained_models', str(name))}, give a folder that holds them, or fill the "
            f"Hugging Face cache ({str(error).strip().splitlines()[0]})"
        ) from error
    except (SafetensorError, UnpicklingError) as error:
        raise CheckpointError(
            f"the weights of {name!r} are torn or unsafe ({type(error).__name__}); they are not "
            "loaded"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the language model {name or model_type!r}: {error}") from error
    return model.train()


def _check_fields(fields: Mapping[str, Any], config: PretrainedConfig) -> None:
    known = config.to_dict()
    problems = [
        f"model_config.{key} is no field of {type(config).__name__}{did_you_mean(key, known)}"
        for key in fields
        if key not in known
    ]
    if problems:
        raise ConfigError(problems)
