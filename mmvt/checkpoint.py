"""Weights on disk: safetensors and checkpoints of torch and fairseq; no code in them is run."""

from __future__ import annotations

import argparse
import json
import logging
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mmvt.errors import CheckpointError
from mmvt.files import atomic_write

logger = logging.getLogger(__name__)

State = dict[str, Tensor]

FAIRSEQ_PREFIX = "mmmodel."  # the attribute that holds the model in fairseq's view of it
MOST_HEADER = 100_000_000  # bytes of safetensors; its own limit


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint would run code when it is read."""


@dataclass(frozen=True)
class LoadReport:
    """What did not fit when weights were loaded.

    Attributes:
        missing: keys of the model that the weights lack.
        unexpected: keys of the weights that the model lacks.
        misshaped: keys of both with their shapes, such as ``head.weight (2, 3) for (2, 4)``.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()

    def __str__(self) -> str:
        groups = (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", self.misshaped),
        )
        return "\n".join(f"{name}: {', '.join(keys)}" for name, keys in groups if keys)


def load_state(path: Path) -> State:
    """Return the tensors of a checkpoint, on the CPU.

    A ``.safetensors`` file, a state dict saved by torch and a checkpoint written by fairseq are
    understood; of the last, the model's weights are returned, without the ``mmmodel.`` before their
    keys. Nothing in a file is ever executed: beside tensors and plain containers only the
    ``argparse.Namespace`` of old fairseq checkpoints is allowed.

    Weights that are no finite numbers are named in the log.

    Raises:
        CheckpointError: the file is missing, torn or unsafe, or holds no weights.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint")
    content = load_safely(path)
    state = content["model"] if isinstance(content.get("model"), Mapping) else content
    named = all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    if not state or not named:
        raise CheckpointError(f"{path} holds no weights of a model")
    broken = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        logger.warning("%s: weights are not finite: %s", path, ", ".join(broken))
    if all(key.startswith(FAIRSEQ_PREFIX) for key in state):
        return {key.removeprefix(FAIRSEQ_PREFIX): value for key, value in state.items()}
    return dict(state)


def load_safely(path: Path, *, mapped: bool = False) -> Mapping[Any, Any]:
    """Return all that a checkpoint holds, on the CPU, without running anything in it.

    Args:
        path: the file.
        mapped: leave tensors on the disk until they are used, where the format allows it.

    Raises:
        UnsafeCheckpointError: the file would run code.
        CheckpointError: the file is torn, or no mapping.
    """
    try:
        if path.suffix == ".safetensors":
            check_names(path)
            return load_file(path)
        zipped = zipfile.is_zipfile(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=mapped and zipped
            )
        if zipped:
            check_sums(path)
    except UnpicklingError as error:
        # torch's own text advises to load it anyway
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {asked[1]}" if asked else "it is no plain pickle of tensors"
        kind = UnsafeCheckpointError if asked else CheckpointError
        raise kind(f"{path} is unsafe or torn, and not loaded: {reason}") from error
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file makes the readers fail in any way
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"{path} is torn, or no checkpoint: {reason}") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, and no weights")
    return content


def check_sums(path: Path) -> None:
    """Raise if a byte of a checkpoint is not what was written; torch compares no checksums.

    Raises:
        CheckpointError: naming the part of the file.
    """
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
    if damaged is not None:
        raise CheckpointError(f"{path} is torn: the checksum of {damaged} is another")


def check_names(path: Path) -> None:
    """Raise if a safetensors file names a tensor twice: its readers silently take one of them.

    Raises:
        CheckpointError: with the names; or if there is no header to read them in.
    """
    names: Counter[str] = Counter()

    def count(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names.update(key for key, value in pairs if isinstance(value, dict))
        return dict(pairs)

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MOST_HEADER:
            raise CheckpointError(f"{path} is torn, or no checkpoint: a header of {length} bytes")
        json.loads(file.read(length), object_pairs_hook=count)
    if twice := [name for name, number in names.items() if number > 1]:
        raise CheckpointError(f"{path} names tensors twice, and is not loaded: {', '.join(twice)}")


def save_state(model: nn.Module, path: Path) -> None:
    """Write the weights of a model as safetensors: all of them or, after a failure, none.

    Tied weights are written under each of their names, so that a reader need not know of the tie.
    """
    tensors: State = {}
    storages: set[int] = set()
    for key, value in model.state_dict().items():
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        tensors[key] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    with atomic_write(path) as file:
        file.write(save(tensors))


def load_into(
    model: nn.Module,
    state: Mapping[str, Tensor],
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
) -> LoadReport:
    """Copy weights into a model, if they fit, and return what was allowed not to.

    Args:
        model: it is changed only if everything fits.
        state: the weights.
        allow_missing: patterns, such as ``head.*``, of keys that the weights may lack.
        allow_unexpected: patterns of keys that the model may lack.

    Raises:
        CheckpointError: with all missing, unexpected and misshaped keys that are not allowed.
    """
    report = check_fit(model, state, allow_missing, allow_unexpected)
    model.load_state_dict(dict(state), strict=False)
    return report


def check_fit(
    model: nn.Module,
    state: Mapping[str, Tensor],
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
) -> LoadReport:
    """Return what of weights does not fit a model, and is allowed not to.

    Args:
        model: it stays as it is.
        state: the weights.
        allow_missing: patterns of keys that the weights may lack.
        allow_unexpected: patterns of keys that the model may lack.

    Raises:
        CheckpointError: as :func:`load_into`.
    """
    own = model.state_dict()
    missing = tuple(key for key in own if key not in state)
    unexpected = tuple(key for key in state if key not in own)
    misshaped = tuple(
        f"{key} {tuple(value.shape)} for {tuple(own[key].shape)}"
        for key, value in state.items()
        if key in own and value.shape != own[key].shape
    )
    wrong = LoadReport(
        _others(missing, allow_missing), _others(unexpected, allow_unexpected), misshaped
    )
    if wrong != LoadReport():
        raise CheckpointError(f"the weights do not fit the model\n{wrong}")
    return LoadReport(missing, unexpected)


def _others(keys: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    allowed = tuple(patterns)
    return tuple(key for key in keys if not any(fnmatchcase(key, pattern) for pattern in allowed))
