"""The curves of a training, as TensorBoard's files hold them; no torch is needed to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from mmvt.config.merge import value_at
from mmvt.config.yaml_file import parse_yaml

CONFIG = "config.yaml"
_PARTS = ("train_inner", "train", "valid")  # as fairseq names its event folders
_MOST_POINTS = 600


@dataclass(frozen=True)
class Curve:
    """One quantity over the updates of a training.

    Attributes:
        steps: numbers of updates, ascending.
        values: its finite values.
    """

    steps: Float64[np.ndarray, " points"]
    values: Float64[np.ndarray, " points"]


@dataclass(frozen=True)
class Training:
    """What a training wrote for TensorBoard.

    Attributes:
        curves: by ``part/tag``, such as ``valid/loss``; parts are ``train_inner`` (every few
            updates), ``train`` (every epoch) and ``valid``.
        ended: time of the last entry.
    """

    curves: Mapping[str, Curve]
    ended: datetime


def _event_folder(run: Path, config: str) -> Path:
    """Return where the events of a run are: beside its checkpoints, else where its YAML says."""
    beside = run / "tensorboard"
    if beside.is_dir() or not config:
        return beside
    data = parse_yaml(config, run / CONFIG).data
    named = value_at(data, ("fairseq", "common", "tensorboard_logdir"))
    return Path(named) if isinstance(named, str) else beside


def read_training(run: Path, config: str) -> Training | None:
    """Return what the training of a run wrote for TensorBoard; None where it wrote nothing.

    Args:
        run: its folder.
        config: text of its ``config.yaml``, which may name another folder of events.
    """
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    folder = _event_folder(run, config)
    curves: dict[str, Curve] = {}
    ended = 0.0
    for part in _PARTS:
        if not (folder / part).is_dir():
            continue
        events = EventAccumulator(str(folder / part), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            entries = events.Scalars(tag)
            ended = max(ended, entries[-1].wall_time)
            steps = np.array([entry.step for entry in entries], float)
            values = np.array([entry.value for entry in entries], float)
            curves[f"{part}/{tag}"] = _thinned(steps, values)
    return Training(curves, datetime.fromtimestamp(ended, UTC)) if curves else None


def _thinned(steps: Float64[np.ndarray, " n"], values: Float64[np.ndarray, " n"]) -> Curve:
    """Return a curve of few enough points to draw, its first and last among them."""
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(steps) > _MOST_POINTS:
        kept = np.linspace(0, len(steps) - 1, _MOST_POINTS).astype(int)
        steps, values = steps[kept], values[kept]
    return Curve(steps, values)
