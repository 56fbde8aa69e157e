"""Trunks made of transformers' BERT, and the loading of one by name."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, BertConfig, BertModel
from typing_extensions import override

from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError, did_you_mean
from mmvt.features.weights import find_pretrained
from mmvt.models.attention_masks import causal_attention, joint_mask, layer_mask
from mmvt.models.base import Trunk
from mmvt.models.packing import encode

TextAttention = Literal["full", "causal"]


class SeparateTrunk(Trunk):
    """Two BERTs that never see each other: one over the video, one over the text.

    The video's runs over ``[CLS] v1 … vV [SEP]``, with the video tokens in place of word
    embeddings; the text's over ``[CLS] w1 … wn [SEP]``. Both begin with the weights of the same
    BERT, of which the video's takes the first layers.

    Source: VideoCLIP (arXiv 2109.14084) §3.1.

    Args:
        max_video_len: most video tokens of an example; the video ``[SEP]`` always has the position
            after them, however many there are.
        bert_name: name or folder of a BERT; null = built from ``bert_config`` alone.
        num_hidden_video_layers: layers of the video's BERT.
        num_hidden_layers: layers of the text's BERT; null = all that ``bert_name`` has.
        text_attention: ``full`` = words see all words, but no video; ``causal`` = they see what the
            video's BERT made of it, and the words before them, so that text can be generated;
            null = as the head needs it.
        pretrained: begin with the weights of ``bert_name``, else with random ones.
        bert_config: fields of the BERT's config.json to replace, such as ``hidden_size``.
        packed: compute nothing for padding, in training: the loss is the same, in less time; null =
            on a CPU.
    """

    produces = ("hidden_video", "hidden_text")
    produces_when_causal = ("hidden", "word_embeddings")

    def __init__(
        self,
        *,
        max_video_len: int,
        bert_name: str | None = None,
        num_hidden_video_layers: int = 6,
        num_hidden_layers: int | None = None,
        text_attention: TextAttention | None = None,
        pretrained: bool = True,
        bert_config: dict[str, Any] | None = None,
        packed: bool | None = None,
    ) -> None:
        super().__init__()
        config = video_bert_config(
            max_video_len, bert_name, num_hidden_layers, pretrained, bert_config or {}
        )
        layers = config.num_hidden_layers
        config.num_hidden_layers = max(layers, num_hidden_video_layers)
        bert = build_bert(config, bert_name if pretrained else None)
        self.max_video_len = max_video_len
        self.hidden_size: int = config.hidden_size
        self.video = first_layers(bert, num_hidden_video_layers)
        self.text = first_layers(bert, layers)
        self.text_attention = text_attention
        self.packed = packed
        if text_attention == "causal":
            self.become_causal()

    @override
    def become_causal(self) -> None:
        check_may_be_causal(self.text_attention)
        self.is_causal, self.encodes_apart = True, False

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        video_embeddings: Float[Tensor, "batch video_len hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        caps: Int[Tensor, "texts text_len"],
        cmasks: Bool[Tensor, "texts text_len"],
        window_caps: Int[Tensor, "batch window_text_len"] | None = None,
        window_cmasks: Bool[Tensor, "batch window_text_len"] | None = None,
    ) -> dict[str, Tensor]:
        """Return ``hidden_video`` (batch, video_len + 2, hidden) and ``hidden_text``.

        ``hidden_text`` (texts, text_len - 1, hidden) has no state of the video's ``[SEP]``. Where
        text is to be generated there are also ``hidden`` (batch, length, hidden), of the joint
        sequence, and ``word_embeddings`` (words, hidden), the weight itself.

        Args:
            video_embeddings: tokens of the frames.
            vmasks: which frames are real.
            caps: a text for each video, unless there is ``window_caps``.
            cmasks: its mask.
            window_caps: what goes with each video instead, where ``caps`` are texts of their own.
            window_cmasks: its mask.

        Raises:
            ConfigError: the video or the text is longer than the model's positions.
        """
        edges = caps, cmasks
        if window_caps is not None and window_cmasks is not None:
            edges = window_caps, window_cmasks
        packed = self.leaves_padding_out(video_embeddings)
        hidden_video = video_states(
            self.video, self.max_video_len, video_embeddings, vmasks, *edges, packed=packed
        )
        if self.is_causal:
            return written_states(self.text, self.max_video_len, hidden_video, vmasks, caps, cmasks)
        hidden_text = self._text_states(caps, cmasks, packed)
        return {"hidden_video": hidden_video, "hidden_text": hidden_text}

    def _text_states(
        self,
        caps: Int[Tensor, "texts text_len"],
        cmasks: Bool[Tensor, "texts text_len"],
        packed: bool,
    ) -> Float[Tensor, "texts text_states hidden"]:
        check_length(self.text, caps.shape[1] - 1)
        positions = torch.arange(caps.shape[1] - 1, device=caps.device)[None]
        inputs = {
            "input_ids": torch.cat([caps[:, :1], caps[:, 2:]], dim=1),
            "position_ids": positions,
            "token_type_ids": torch.zeros_like(positions),
        }
        mask = torch.cat([cmasks[:, :1], cmasks[:, 2:]], dim=1)
        return encode(self.text, inputs, mask, packed=packed)


def joint_inputs(
    bert: BertModel,
    max_video_len: int,
    video_embeddings: Float[Tensor, "batch video_len hidden"],
    caps: Int[Tensor, "batch text_len"],
) -> dict[str, Tensor]:
    """Return what a BERT embeds for ``[CLS] v1 … vV [SEP] w1 … wn [SEP] [PAD] …``.

    ``[CLS]`` and the frames have the positions from 0, the video's ``[SEP]`` that after the longest
    video, however many frames there are. Words have the token type 1, all before them 0.

    Raises:
        ConfigError: the video or the text is longer than the model's positions.
    """
    steps = video_embeddings.shape[1]
    if steps > max_video_len:
        raise ConfigError(f"a video has {steps} steps, but max_video_len is {max_video_len}")
    rest = max_video_len + torch.arange(1, caps.shape[1], device=caps.device)
    check_length(bert, max_video_len + caps.shape[1])
    words = bert.embeddings.word_embeddings(caps)
    positions = torch.cat([torch.arange(steps + 1, device=caps.device), rest])
    return {
        "inputs_embeds": torch.cat([words[:, :1], video_embeddings, words[:, 1:]], dim=1),
        "position_ids": positions[None],
        "token_type_ids": (positions > max_video_len + 1).long()[None],
    }


def video_states(
    bert: BertModel,
    max_video_len: int,
    video_embeddings: Float[Tensor, "batch video_len hidden"],
    vmasks: Bool[Tensor, "batch video_len"],
    caps: Int[Tensor, "batch text_len"],
    cmasks: Bool[Tensor, "batch text_len"],
    *,
    packed: bool,
) -> Float[Tensor, "batch video_states hidden"]:
    """Return the states of ``[CLS] v1 … vV [SEP]``, the two being the first of ``caps``.

    Raises:
        ConfigError: the video is longer than ``max_video_len``.
    """
    inputs = joint_inputs(bert, max_video_len, video_embeddings, caps[:, :2])
    return encode(bert, inputs, joint_mask(vmasks, cmasks[:, :2]), packed=packed)


def written_states(
    bert: BertModel,
    max_video_len: int,
    hidden_video: Float[Tensor, "batch video_states hidden"],
    vmasks: Bool[Tensor, "batch video_len"],
    caps: Int[Tensor, "batch text_len"],
    cmasks: Bool[Tensor, "batch text_len"],
) -> dict[str, Tensor]:
    """Return what a causal trunk does, of a BERT that goes on from the states of a video.

    The states stand in the joint sequence where the video does; each word sees all of them, and the
    words up to itself.

    Args:
        bert: runs over both.
        max_video_len: most video tokens.
        hidden_video: states of ``[CLS] v1 … vV [SEP]``.
        vmasks: which frames are real.
        caps: the text of each video.
        cmasks: its mask.

    Raises:
        ConfigError: video and text are longer than the model's positions.
    """
    end = hidden_video.shape[1]
    inputs = joint_inputs(bert, max_video_len, hidden_video[:, 1:-1], caps)
    words = inputs["inputs_embeds"][:, end:]
    inputs["inputs_embeds"] = torch.cat([hidden_video, words], dim=1)
    seen = layer_mask(causal_attention(vmasks, cmasks, "text"))
    hidden: Tensor = bert(**inputs, attention_mask=seen).last_hidden_state
    return {
        "hidden_video": hidden_video,
        "hidden_text": torch.cat([hidden[:, :1], hidden[:, end:]], dim=1),
        "hidden": hidden,
        "word_embeddings": bert.embeddings.word_embeddings.weight,
    }


def check_may_be_causal(text_attention: TextAttention | None) -> None:
    """Raise where a trunk was told to show all words.

    Raises:
        ConfigError: it was.
    """
    if text_attention == "full":
        raise ConfigError(
            "trunk.text_attention: full shows it the later ones; unset it, or set it to causal"
        )


def check_length(bert: BertModel, length: int) -> None:
    """Raise unless a BERT has a position for each token of a sequence.

    Raises:
        ConfigError: it has fewer.
    """
    positions = bert.config.max_position_embeddings
    if length > positions:
        raise ConfigError(f"a text has {length} tokens, but its BERT {positions} positions")


def video_bert_config(
    max_video_len: int,
    bert_name: str | None,
    num_hidden_layers: int | None,
    pretrained: bool,
    overrides: Mapping[str, Any],
) -> BertConfig:
    """Return the configuration of a BERT that takes videos.

    Args:
        max_video_len: most video tokens.
        bert_name: name or folder of a BERT; None = transformers' defaults.
        num_hidden_layers: its layers; None = those that it has.
        pretrained: its weights are wanted, too.
        overrides: fields to replace.

    Raises:
        MissingWeightsError: as :func:`read_bert_config` does.
        ConfigError: a field does not exist, there is no layer, or videos have too many tokens.
    """
    config = read_bert_config(bert_name, overrides)
    if num_hidden_layers is not None:
        config.num_hidden_layers = num_hidden_layers
    if config.num_hidden_layers < 1:
        raise ConfigError(
            f"a BERT of {config.num_hidden_layers} layers is asked for, but needs at least 1"
        )
    if max_video_len + 2 > config.max_position_embeddings:
        raise ConfigError(
            f"max_video_len is {max_video_len}, but a BERT of {config.max_position_embeddings} "
            "positions takes 2 less"
        )
    if pretrained and bert_name is None:
        raise ConfigError("pretrained weights need a bert_name; set it, or pretrained: false")
    return config


def read_bert_config(bert_name: str | None, overrides: Mapping[str, Any]) -> BertConfig:
    """Return the configuration of a BERT, with fields replaced.

    It is looked for in ``pretrained_models/<bert_name>``, then among the installed weights
    (``minilm``), then at the path ``bert_name``, then in the local Hugging Face cache. Nothing is
    downloaded and no code beside it is run.

    Args:
        bert_name: name or folder; None = transformers' defaults.
        overrides: fields to replace.

    Raises:
        MissingWeightsError: it is in none of the three places; the message says what to put where.
        ConfigError: it is the configuration of something else, or a field does not exist.
    """
    known = BertConfig().to_dict()
    problems = [
        f"bert_config.{key} is no field of a BERT{did_you_mean(key, known)}"
        for key in overrides
        if key not in known
    ]
    if problems:
        raise ConfigError(problems)
    if bert_name is None:
        return BertConfig(**overrides)
    try:
        config = AutoConfig.from_pretrained(
            find_pretrained(bert_name), local_files_only=True, trust_remote_code=False, **overrides
        )
    except (OSError, ValueError) as error:
        raise _missing(bert_name, "config.json", error) from error
    if not isinstance(config, BertConfig):
        raise ConfigError(f"bert_name {bert_name!r} is a {config.model_type}, and no BERT")
    return config


class _Bert(BertModel):
    # weights may come with more than is used: a pooler, further layers, the heads of pre-training
    _keys_to_ignore_on_load_unexpected = [".*"]  # noqa: RUF012  # transformers' own attribute


def build_bert(config: BertConfig, bert_name: str | None) -> BertModel:
    """Return a BERT without pooler, in training mode.

    Args:
        config: its configuration.
        bert_name: name or folder of its weights, found like its configuration; None = random ones.

    Raises:
        MissingWeightsError: there are no weights; the message says what to put where.
        CheckpointError: the file of weights is torn or unsafe.
        ConfigError: the configuration is impossible, or the weights do not fit it.
    """
    try:
        if bert_name is None:
            return _Bert(config, add_pooling_layer=False)
        # typed as a model alone
        loaded: Any = _Bert.from_pretrained(
            find_pretrained(bert_name),
            config=config,
            add_pooling_layer=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except OSError as error:
        raise _missing(bert_name, "config.json and model.safetensors", error) from error
    except (SafetensorError, UnpicklingError) as error:
        raise CheckpointError(
            f"the weights of {bert_name!r} are torn or unsafe ({type(error).__name__}); they are "
            "not loaded"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"the BERT {bert_name or 'of bert_config'!r}: {error}") from error
    model, info = loaded
    misfits = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if misfits:
        raise ConfigError(
            f"the weights of {bert_name!r} lack {len(misfits)} keys of a BERT with "
            f"{config.num_hidden_layers} layers of {config.hidden_size}, or have them in another "
            f"shape: {misfits[0]} and so on"
        )
    bert: BertModel = model.train()
    return bert


def first_layers(bert: BertModel, num_layers: int) -> BertModel:
    """Return a copy of a BERT that has its first ``num_layers`` layers only.

    Raises:
        ConfigError: it is asked for less than one layer.
    """
    if num_layers < 1:
        raise ConfigError(f"a BERT of {num_layers} layers is asked for, but needs at least 1")
    copy = deepcopy(bert)
    copy.encoder.layer = copy.encoder.layer[:num_layers]
    copy.config.num_hidden_layers = num_layers
    return copy


def _missing(bert_name: str | None, files: str, error: Exception) -> MissingWeightsError:
    first = str(error).strip().splitlines()[0]
    folder = Path("pretrained_models", str(bert_name))
    return MissingWeightsError(
        f"no BERT {bert_name!r}: put its {files} into {folder}, give "
        f"a folder that holds them, or fill the Hugging Face cache ({first})"
    )
