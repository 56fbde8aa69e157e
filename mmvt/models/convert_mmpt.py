"""Weights of the original VideoCLIP: the keys of its checkpoints and ours.

Two kinds of tensors of the original have no counterpart, because its outputs do not depend on
them: the ``position_ids`` that old BERTs store, and the poolers, which it builds and never calls.
They are accepted, and left out when ours are written in its form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from mmvt.checkpoint import LoadReport, State, load_into
from mmvt.models.model import MultimodalModel

# the original's prefix, and ours
PREFIXES = (
    ("video_encoder.videomlp.", "encoders.video."),
    ("video_encoder.bert.", "trunk.video."),
    ("text_encoder.", "trunk.text."),
)
_UNUSED = re.compile(r"(embeddings\.position_ids|pooler\.dense\.(weight|bias))$")


def is_mmpt(keys: Iterable[str]) -> bool:
    """Return whether keys are those of the original."""
    return any(key.startswith(prefix) for key in keys for prefix, _ in PREFIXES)


def from_mmpt(state: Mapping[str, Tensor]) -> State:
    """Return weights of the original under our keys; keys that it never had stay as they are."""
    return {
        _rename(key, PREFIXES): value for key, value in state.items() if not _UNUSED.search(key)
    }


def to_mmpt(state: Mapping[str, Tensor]) -> State:
    """Return our weights under the keys of the original; other keys stay as they are."""
    back = tuple((ours, theirs) for theirs, ours in PREFIXES)
    return {_rename(key, back): value for key, value in state.items()}


def load_mmpt(model: MultimodalModel, state: Mapping[str, Tensor]) -> LoadReport:
    """Copy weights of the original into a model whose encoder is named ``video``.

    Raises:
        CheckpointError: with all keys that are missing, unexpected, or of another shape; ``model``
            is unchanged then.
    """
    return load_into(model, from_mmpt(state))


def _rename(key: str, prefixes: Iterable[tuple[str, str]]) -> str:
    for old, new in prefixes:
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key
