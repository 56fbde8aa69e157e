"""Tiny random models of transformers, saved to folders as real ones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

WIDTHS = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
VISION = {**WIDTHS, "image_size": 32, "patch_size": 8}
TEXT = {**WIDTHS, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
PREPROCESSOR: dict[str, Any] = {
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "size": {"shortest_edge": 40},
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.25, 0.5],
    "rescale_factor": 1 / 255,
}


def saved(folder: Path, network: PreTrainedModel, **preprocessor: Any) -> str:
    """Save a network and how its images are normalised; return the folder."""
    network.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | preprocessor))
    return str(folder)


def random_frames(count: int, size: int = 32) -> torch.Tensor:
    """Return the same frames of noise every time."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
