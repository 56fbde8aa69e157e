"""BERT layers over the real positions alone, side by side, instead of a padded batch.

Linear layers, LayerNorm and GELU treat every position by itself, so that padding can be left out of
them; attention runs over all sequences of one length at a time. Weights are those of transformers'
layers, and so are the places of dropout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import BertModel
from transformers.models.bert.modeling_bert import BertLayer

from mmvt.models.attention_masks import key_mask


class Packing:
    """Where the real positions of a padded batch stand when they are packed.

    They are ordered by the length of their sequence, so that those of one length are one block.

    Args:
        sequences: the sequence of each position, numbered from 0 in every row, whose positions must
            be neighbours; -1 = padding.

    Attributes:
        groups: (number of sequences, their length) of each block, in the order of the blocks.
    """

    def __init__(self, sequences: Int[Tensor, "batch length"]) -> None:
        self.shape = sequences.shape
        rows = torch.arange(self.shape[0], device=sequences.device)[:, None]
        numbers = (rows * self.shape[1] + sequences).flatten()
        real = (sequences >= 0).flatten().nonzero()[:, 0]
        lengths = torch.bincount(numbers[real])[numbers[real]]
        order = lengths.argsort(stable=True)
        self.positions = real[order]
        found, counts = lengths[order].unique_consecutive(return_counts=True)
        blocks = zip(found.tolist(), counts.tolist(), strict=True)
        self.groups = [(count // length, length) for length, count in blocks]

    def pack(self, padded: Tensor) -> Tensor:
        """Return (1, positions, …) of a (batch or 1, length, …) tensor."""
        whole = padded.expand(*self.shape, *padded.shape[2:])
        return whole.flatten(0, 1)[self.positions][None]

    def unpack(self, packed: Float[Tensor, "1 positions dim"]) -> Float[Tensor, "batch length dim"]:
        """Return the padded batch, with zeros for padding."""
        padded = packed.new_zeros(self.shape.numel(), packed.shape[-1])
        return padded.index_copy(0, self.positions, packed[0]).unflatten(0, self.shape)


def whole_rows(mask: Bool[Tensor, "batch length"]) -> Packing:
    """Return the packing in which the real positions of a row are one sequence."""
    return Packing(mask.long() - 1)


def encode(
    bert: BertModel,
    inputs: Mapping[str, Tensor],
    mask: Bool[Tensor, "batch length"],
    *,
    packed: bool,
) -> Float[Tensor, "batch length hidden"]:
    """Return the states of a BERT in which all real positions of a row see each other.

    Args:
        bert: the BERT.
        inputs: what it embeds, ``position_ids`` and ``token_type_ids`` included.
        mask: which positions are real.
        packed: compute nothing for the others, whose states are zeros.
    """
    if packed:
        return packed_states(bert, inputs, [(whole_rows(mask), bert.encoder.layer)])[-1]
    states: Tensor = bert(**inputs, attention_mask=key_mask(mask)).last_hidden_state
    return states


def packed_states(
    bert: BertModel,
    inputs: Mapping[str, Tensor],
    stages: Sequence[tuple[Packing, nn.ModuleList]],
) -> list[Float[Tensor, "batch length hidden"]]:
    """Return the padded states after each stage; those of padding are zeros.

    Args:
        bert: gives the embeddings.
        inputs: as of :func:`encode`.
        stages: layers, each with the packing that says which positions see each other.
    """
    first = stages[0][0]
    embedded = bert.embeddings(**{name: first.pack(value) for name, value in inputs.items()})
    after: list[Tensor] = []
    for packing, layers in stages:
        states = packing.pack(after[-1]) if after else embedded
        for layer in layers:
            assert isinstance(layer, BertLayer)
            run = partial(packed_layer, layer, groups=packing.groups)
            if layer.training and layer.gradient_checkpointing:
                states = checkpoint(run, states, use_reentrant=False)
            else:
                states = run(states)
        after.append(packing.unpack(states))
    return after


def packed_layer(
    layer: BertLayer, states: Float[Tensor, "1 positions dim"], groups: Sequence[tuple[int, int]]
) -> Float[Tensor, "1 positions dim"]:
    """Return the states after a layer of transformers' BERT.

    Args:
        layer: one that is no decoder's.
        states: those before it, packed.
        groups: of the packing.
    """
    own = layer.attention.self
    width = own.attention_head_size
    projected = [
        part(states)[0].unflatten(-1, (-1, width)) for part in (own.query, own.key, own.value)
    ]
    sizes = [number * length for number, length in groups]
    dropout = own.dropout.p if own.training else 0.0
    attended = [states[0, :0]]
    for group, *block in zip(groups, *(part.split(sizes) for part in projected), strict=True):
        query, key, value = (part.unflatten(0, group).transpose(1, 2) for part in block)
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        attended.append(mixed.transpose(1, 2).flatten(2).flatten(0, 1))
    states = layer.attention.output(torch.cat(attended)[None], states)
    result: Tensor = layer.feed_forward_chunk(states)
    return result
