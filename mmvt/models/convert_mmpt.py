"""Weights of the original VideoCLIP and VLM: the keys of its checkpoints and ours.

Some tensors of the original have no counterpart here. Its outputs do not depend on two kinds: the
``position_ids`` that old BERTs store, and the poolers, which it builds and never calls. And it
stores what is tied twice: the decoder of words is its word embeddings, with the bias that stands
beside it. They are checked and left out, and written again for the original to load.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save
from torch import Tensor

from mmvt.checkpoint import LoadReport, State, load_into, load_state
from mmvt.errors import CheckpointError
from mmvt.files import atomic_write
from mmvt.models.model import MultimodalModel

_DECODER = "mm_encoder.cls.predictions."
# the original's prefix, and ours
SEPARATE = (
    ("video_encoder.videomlp.", "encoders.video."),
    ("video_encoder.bert.", "trunk.video."),
    ("video_encoder.classifier.", "head.classifier."),
    ("text_encoder.", "trunk.text."),
)
ONE = (
    ("mm_encoder.videomlp.", "encoders.video."),
    ("mm_encoder.bert.", "trunk.bert."),
    ("mm_encoder.classifier.", "head.classifier."),
    (f"{_DECODER}transform.", "head.transform."),
    (f"{_DECODER}bias", "head.bias"),
)
# a copy in the original, and what it is a copy of
TIED = {
    f"{_DECODER}decoder.weight": "mm_encoder.bert.embeddings.word_embeddings.weight",
    f"{_DECODER}decoder.bias": f"{_DECODER}bias",
}
_UNUSED = re.compile(r"(embeddings\.position_ids|pooler\.dense\.(weight|bias))$")


def is_mmpt(keys: Iterable[str]) -> bool:
    """Return whether keys are those of the original."""
    return any(key.startswith(prefix) for key in keys for prefix, _ in (*SEPARATE, *ONE))


def from_mmpt(state: Mapping[str, Tensor]) -> State:
    """Return weights of the original under our keys; keys that it never had stay as they are.

    Raises:
        CheckpointError: what is tied in the original differs from its copy.
    """
    loose = [
        f"{copy} differs from {source}"
        for copy, source in TIED.items()
        if copy in state and source in state and not torch.equal(state[copy], state[source])
    ]
    if loose:
        raise CheckpointError("the weights are no longer tied: " + "; ".join(loose))
    return {
        _rename(key, (*SEPARATE, *ONE)): value
        for key, value in state.items()
        if not _UNUSED.search(key) and TIED.get(key) not in state
    }


def to_mmpt(state: Mapping[str, Tensor]) -> State:
    """Return our weights under the keys of the original; other keys stay as they are."""
    table = ONE if any(key.startswith("trunk.bert.") for key in state) else SEPARATE
    back = tuple((ours, theirs) for theirs, ours in table)
    return {_rename(key, back): value for key, value in state.items()}


def complete_mmpt(state: Mapping[str, Tensor]) -> State:
    """Return weights of the original with all that it asks for when it loads them strictly.

    Args:
        state: what :func:`to_mmpt` returns.
    """
    complete = dict(state)
    places = "embeddings.position_embeddings.weight"
    for bert in [key.removesuffix(places) for key in state if key.endswith(places)]:
        count, width = state[f"{bert}{places}"].shape
        complete[f"{bert}embeddings.position_ids"] = torch.arange(count)[None]
        complete[f"{bert}pooler.dense.weight"] = torch.zeros(width, width)
        complete[f"{bert}pooler.dense.bias"] = torch.zeros(width)
    if f"{_DECODER}transform.dense.weight" in state:
        complete |= {copy: state[source] for copy, source in TIED.items() if source in state}
    return complete


def load_mmpt(
    model: MultimodalModel,
    state: Mapping[str, Tensor],
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
) -> LoadReport:
    """Copy weights of the original into a model whose encoder is named ``video``.

    Args:
        model: it is changed only if everything fits.
        state: weights of the original.
        allow_missing: patterns, such as ``head.*``, of our keys that the weights may lack.
        allow_unexpected: patterns of our keys that the model may lack.

    Raises:
        CheckpointError: with all keys that are missing, unexpected, or of another shape; ``model``
            is unchanged then.
    """
    return load_into(model, from_mmpt(state), allow_missing, allow_unexpected)


def convert_checkpoint(
    source: Path, target: Path, keys: Literal["ours", "original"] | None = None
) -> State:
    """Write a checkpoint of the original under our keys, or one of ours under its, and return it.

    Args:
        source: a checkpoint of either, as :func:`mmvt.checkpoint.load_state` reads it.
        target: a ``.safetensors`` file; it is written whole or not at all.
        keys: whose the target has; None = not those of the source.

    Raises:
        CheckpointError: the source is missing, torn or unsafe, or the target has another suffix.
    """
    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target} must end with .safetensors; no pickle is written")
    state = load_state(source)
    ours = from_mmpt(state)
    to_ours = is_mmpt(state) if keys is None else keys == "ours"
    state = ours if to_ours else complete_mmpt(to_mmpt(ours))
    with atomic_write(target) as file:
        file.write(save({key: value.clone().contiguous() for key, value in state.items()}))
    return state


def _rename(key: str, prefixes: Iterable[tuple[str, str]]) -> str:
    for old, new in prefixes:
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key
