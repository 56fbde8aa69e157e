"""Weights of S3D for tests: made from the names of the tensors, so that none need be stored."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmvt.features.s3d.network import S3DNetwork


def named_weights(network: S3DNetwork, seed: int) -> S3DNetwork:
    """Fill a network by the rule of the recorded cases; return it, in evaluation mode."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            key = (zlib.crc32(name.encode()) + seed) & 0xFFFFFFFF
            noise = np.random.RandomState(key).standard_normal(tuple(tensor.shape))
            tensor.copy_(_scaled(name, torch.from_numpy(noise.astype(np.float32))))
    return network.eval().requires_grad_(False)


def _scaled(name: str, x: Tensor) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros(())
    if name.endswith("running_var"):
        return 1 + 0.5 * x.abs()
    if name.endswith(("running_mean", ".bias")):
        return 0.1 * x
    if ".bn" in name:
        return 1.5 + 0.1 * x
    if "word_embd" in name:
        return 0.5 * x
    return x * math.sqrt(2 / math.prod(x.shape[1:]))


def write_weights(path: Path, network: S3DNetwork) -> Path:
    """Write the weights as the published file holds them, all words being alike; return the path.

    One word in place of 66250 keeps the file small.
    """
    state = network.state_dict()
    words = state["text_module.word_embd.weight"]
    state["text_module.word_embd.weight"] = words[:1].clone().expand_as(words)
    torch.save(state, path)
    return path
