"""A BERT of two heads of four, written out for one example after another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def plain_bert(
    weights: dict[str, Tensor], tokens: Tensor, masks: Sequence[Tensor] | Tensor
) -> list[Tensor]:
    """Return the states after each layer.

    Args:
        weights: of a BertModel.
        tokens: (batch, length, 8) sums of embeddings, before the first LayerNorm.
        masks: what is seen, (batch, length) by all or (batch, length, length) by each position; a
            list has one for each layer.
    """
    layers = [key for key in weights if key.endswith("attention.self.query.weight")]
    masks = [masks] * len(layers) if isinstance(masks, Tensor) else masks
    states = [plain_norm(weights, "embeddings", row) for row in tokens]
    after = []
    for number, mask in zip(range(len(layers)), masks, strict=True):
        prefix = f"encoder.layer.{number}."
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        states = [plain_layer(own, row, seen) for row, seen in zip(states, mask, strict=True)]
        after.append(torch.stack(states))
    return after


def plain_layer(own: dict[str, Tensor], states: Tensor, seen: Tensor) -> Tensor:
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        q, k, v = (
            plain_linear(own, f"attention.self.{name}", states)[:, head]
            for name in ("query", "key", "value")
        )
        weight = (q @ k.T / math.sqrt(4)).exp() * seen
        heads.append(weight / weight.sum(1, keepdim=True) @ v)
    mixed = plain_linear(own, "attention.output.dense", torch.cat(heads, dim=1))
    states = plain_norm(own, "attention.output", states + mixed)
    wide = F.gelu(plain_linear(own, "intermediate.dense", states))
    return plain_norm(own, "output", states + plain_linear(own, "output.dense", wide))


def plain_linear(weights: dict[str, Tensor], name: str, states: Tensor) -> Tensor:
    return states @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def plain_norm(weights: dict[str, Tensor], name: str, states: Tensor) -> Tensor:
    centred = states - states.mean(-1, keepdim=True)
    unit = centred / (centred.square().mean(-1, keepdim=True) + 1e-12).sqrt()
    return unit * weights[f"{name}.LayerNorm.weight"] + weights[f"{name}.LayerNorm.bias"]


def embedded(
    weights: dict[str, Tensor], tokens: Tensor, positions: list[int], types: list[int]
) -> Tensor:
    """Return tokens plus the embeddings of their positions and types."""
    places = weights["embeddings.position_embeddings.weight"][positions]
    return tokens + places + weights["embeddings.token_type_embeddings.weight"][types]
