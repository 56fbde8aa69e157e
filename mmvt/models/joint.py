"""Trunks with one BERT for video and text: apart as in a dual encoder, or in one sequence."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.models.attention_masks import (
    causal_attention,
    isolated_attention,
    isolated_parts,
    joint_mask,
    key_mask,
    layer_mask,
)
from mmvt.models.base import Trunk
from mmvt.models.bert import (
    TextAttention,
    build_bert,
    check_length,
    check_may_be_causal,
    joint_inputs,
    video_bert_config,
    video_states,
    written_states,
)
from mmvt.models.packing import Packing, encode, packed_states, whole_rows

NUM_SEGMENTS = 256  # rows of a table that VLM's checkpoints hold and nothing reads


class SharedTrunk(Trunk):
    """One BERT that runs over the video, and again over the text.

    Positions and token types are those of the joint sequence, so that a :class:`JointTrunk` can go
    on from its weights.

    Source: VideoCLIP (arXiv 2109.14084) §5, the ablation with one encoder.

    Args:
        max_video_len: most video tokens of an example; positions of words begin after them.
        bert_name: name or folder of a BERT; null = built from ``bert_config`` alone.
        num_hidden_layers: layers; null = all that ``bert_name`` has.
        text_attention: as of :class:`~mmvt.models.bert.SeparateTrunk`.
        pretrained: begin with the weights of ``bert_name``, else with random ones.
        bert_config: fields of the BERT's config.json to replace, such as ``hidden_size``.
        packed: as of :class:`~mmvt.models.bert.SeparateTrunk`.
    """

    produces = ("hidden_video", "hidden_text")
    produces_when_causal = ("hidden", "word_embeddings")

    def __init__(
        self,
        *,
        max_video_len: int,
        bert_name: str | None = None,
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
        self.bert = build_bert(config, bert_name if pretrained else None)
        self.max_video_len = max_video_len
        self.hidden_size: int = config.hidden_size
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
        """Return what :class:`~mmvt.models.bert.SeparateTrunk` does.

        Raises:
            ConfigError: the video or the text is longer than the model's positions.
        """
        edges = caps, cmasks
        if window_caps is not None and window_cmasks is not None:
            edges = window_caps, window_cmasks
        packed = self.leaves_padding_out(video_embeddings)
        hidden_video = video_states(
            self.bert, self.max_video_len, video_embeddings, vmasks, *edges, packed=packed
        )
        if self.is_causal:
            return written_states(self.bert, self.max_video_len, hidden_video, vmasks, caps, cmasks)
        hidden_text = self._text_states(caps, cmasks, packed)
        return {"hidden_video": hidden_video, "hidden_text": hidden_text}

    def _text_states(
        self,
        caps: Int[Tensor, "texts text_len"],
        cmasks: Bool[Tensor, "texts text_len"],
        packed: bool,
    ) -> Float[Tensor, "texts text_states hidden"]:
        check_length(self.bert, self.max_video_len + caps.shape[1])
        places = torch.arange(1, caps.shape[1], device=caps.device)
        positions = torch.where(places > 1, places + self.max_video_len, 0)
        inputs = {
            "input_ids": torch.cat([caps[:, :1], caps[:, 2:]], dim=1),
            "position_ids": positions[None],
            "token_type_ids": (positions > 0).long()[None],
        }
        mask = torch.cat([cmasks[:, :1], cmasks[:, 2:]], dim=1)
        return encode(self.bert, inputs, mask, packed=packed)


class JointTrunk(Trunk):
    """One BERT over video and text in one sequence, ``[CLS] v1 … vV [SEP] w1 … wn [SEP]``.

    With ``num_iso_layer``, video and text do not see each other up to that layer, where
    ``hidden_video`` and ``hidden_text`` are read: these are then those of a dual encoder, and each
    side can be encoded without the other.

    Source: VLM (arXiv 2105.09996) §3.

    Args:
        max_video_len: most video tokens of an example; the video ``[SEP]`` always has the position
            after them, however many there are.
        bert_name: name or folder of a BERT; null = built from ``bert_config`` alone.
        num_hidden_layers: layers; null = all that ``bert_name`` has.
        num_iso_layer: layers, from the first, in which video and text are kept apart; null = none.
        text_attention: ``causal`` = no word sees a later one, and the video sees no word, so that
            text can be generated; ``full`` = everything sees everything; null = as the head needs.
        use_seg_emb: hold the table of segment embeddings that VLM's checkpoints come with; nothing
            reads or trains it.
        pretrained: begin with the weights of ``bert_name``, else with random ones.
        bert_config: fields of the BERT's config.json to replace, such as ``hidden_size``.
        packed: as of :class:`~mmvt.models.bert.SeparateTrunk`; it has no effect where a position
            sees less than all others of its sequence.
    """

    produces = ("hidden", "hidden_video", "hidden_text", "word_embeddings")

    def __init__(
        self,
        *,
        max_video_len: int,
        bert_name: str | None = None,
        num_hidden_layers: int | None = None,
        num_iso_layer: int | None = None,
        text_attention: TextAttention | None = None,
        use_seg_emb: bool = False,
        pretrained: bool = True,
        bert_config: dict[str, Any] | None = None,
        packed: bool | None = None,
    ) -> None:
        super().__init__()
        config = video_bert_config(
            max_video_len, bert_name, num_hidden_layers, pretrained, bert_config or {}
        )
        if not 0 <= (num_iso_layer or 0) <= config.num_hidden_layers:
            raise ConfigError(
                f"num_iso_layer is {num_iso_layer}, but there are {config.num_hidden_layers} layers"
            )
        self.bert = build_bert(config, bert_name if pretrained else None)
        if use_seg_emb:
            table = nn.Embedding(NUM_SEGMENTS, config.hidden_size)
            # workers that share gradients would wait for one
            self.bert.embeddings.seg_embeddings = table.requires_grad_(False)
        self.max_video_len = max_video_len
        self.num_iso_layer = num_iso_layer or 0
        self.encodes_apart = self.num_iso_layer > 0
        self.hidden_size: int = config.hidden_size
        self.text_attention = text_attention
        self.packed = packed
        if text_attention == "causal":
            self.become_causal()

    @override
    def become_causal(self) -> None:
        check_may_be_causal(self.text_attention)
        if self.num_iso_layer:
            raise ConfigError("num_iso_layer hides the video from the text that is to tell of it")
        self.is_causal = True

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        video_embeddings: Float[Tensor, "batch video_len hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        caps: Int[Tensor, "texts text_len"],
        cmasks: Bool[Tensor, "texts text_len"],
        window_caps: Int[Tensor, "batch window_text_len"] | None = None,
        window_cmasks: Bool[Tensor, "batch window_text_len"] | None = None,
        attention_mask: Bool[Tensor, "batch length length"] | None = None,
    ) -> dict[str, Tensor]:
        """Return the states of the joint sequence, its two parts, and the word embeddings.

        ``hidden`` (batch, length, hidden) is of the last layer; ``hidden_video`` (batch,
        video_len + 2, hidden), of ``[CLS] v1 … vV [SEP]``, and ``hidden_text`` (texts,
        text_len - 1, hidden), of ``[CLS] w1 … wn [SEP]``, are of the layer ``num_iso_layer``.
        ``word_embeddings`` (words, hidden) is the weight itself.

        Args:
            video_embeddings: tokens of the frames.
            vmasks: which frames are real.
            caps: a text for each video, unless there is ``window_caps``.
            cmasks: its mask.
            window_caps: what goes with each video instead, where ``caps`` are texts of their own:
                these then run without frames.
            window_cmasks: its mask.
            attention_mask: what each position of the joint sequence sees in the layers that are not
                isolated; by default as ``text_attention`` says.

        Raises:
            ConfigError: the video or the text is longer than the model's positions.
        """
        end = vmasks.shape[1] + 2
        if window_caps is None or window_cmasks is None:
            hidden, apart = self._states(video_embeddings, vmasks, caps, cmasks, attention_mask)
            hidden_text = torch.cat([apart[:, :1], apart[:, end:]], dim=1)
        else:
            hidden, apart = self._states(video_embeddings, vmasks, window_caps, window_cmasks)
            nothing = video_embeddings.new_zeros(len(caps), 0, self.hidden_size)
            alone = self._states(nothing, cmasks[:, :0], caps, cmasks)[1]
            hidden_text = torch.cat([alone[:, :1], alone[:, 2:]], dim=1)
        return {
            "hidden": hidden,
            "hidden_video": apart[:, :end],
            "hidden_text": hidden_text,
            "word_embeddings": self.bert.embeddings.word_embeddings.weight,
        }

    def _states(
        self,
        video_embeddings: Float[Tensor, "batch video_len hidden"],
        vmasks: Bool[Tensor, "batch video_len"],
        caps: Int[Tensor, "batch text_len"],
        cmasks: Bool[Tensor, "batch text_len"],
        attention_mask: Bool[Tensor, "batch length length"] | None = None,
    ) -> tuple[Float[Tensor, "batch length hidden"], Float[Tensor, "batch length hidden"]]:
        """Return the states of the last layer and those of the last isolated one."""
        inputs = joint_inputs(self.bert, self.max_video_len, video_embeddings, caps)
        layers = self.bert.encoder.layer
        all_see_all = attention_mask is None and not self.is_causal
        if all_see_all and self.leaves_padding_out(video_embeddings):
            return self._packed_states(inputs, vmasks, cmasks)
        states = self.bert.embeddings(**inputs)
        between = states
        masks = self._masks(vmasks, cmasks, attention_mask)
        for number, (layer, mask) in enumerate(zip(layers, masks, strict=True), start=1):
            states = layer(states, mask)
            if number == (self.num_iso_layer or len(layers)):
                between = states
        return states, between

    def _packed_states(
        self,
        inputs: dict[str, Tensor],
        vmasks: Bool[Tensor, "batch video_len"],
        cmasks: Bool[Tensor, "batch text_len"],
    ) -> tuple[Float[Tensor, "batch length hidden"], Float[Tensor, "batch length hidden"]]:
        """Return what ``_states`` does, with zeros for padding."""
        layers, apart = self.bert.encoder.layer, self.num_iso_layer
        real = joint_mask(vmasks, cmasks)
        stages = [(whole_rows(real), layers[apart:])]
        if apart:
            parts = Packing(isolated_parts(vmasks, cmasks).where(real, -1))
            stages.insert(0, (parts, layers[:apart]))
        after = packed_states(self.bert, inputs, stages)
        return after[-1], after[0]

    def _masks(
        self,
        vmasks: Bool[Tensor, "batch video_len"],
        cmasks: Bool[Tensor, "batch text_len"],
        attention_mask: Bool[Tensor, "batch length length"] | None,
    ) -> list[Bool[Tensor, "batch 1 length length"]]:
        """Return what is seen in each layer."""
        if attention_mask is not None:
            joint = layer_mask(attention_mask)
        elif self.is_causal:
            joint = layer_mask(causal_attention(vmasks, cmasks, "text"))
        else:
            joint = key_mask(joint_mask(vmasks, cmasks))
        masks = [joint] * len(self.bert.encoder.layer)
        if self.num_iso_layer:
            isolated = layer_mask(isolated_attention(vmasks, cmasks))
            masks[: self.num_iso_layer] = [isolated] * self.num_iso_layer
        return masks
