"""Run folders with real files, as trainings and evaluations leave them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from mmvt.evaluators.base import Predictions
from mmvt.evaluators.evaluator import rescore
from mmvt.evaluators.predictions import save_predictions
from tests.retrieval_cases import as_vectors, predictions_of


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("tensorboard").setLevel(logging.WARNING)


def write_events(
    folder: Path, entries: Mapping[str, Mapping[str, list[tuple[int, float]]]]
) -> None:
    """Write events as fairseq does: a folder a part, (step, value) by tag."""
    for part, tags in entries.items():
        writer = SummaryWriter(str(folder / part))
        for tag, points in tags.items():
            for step, value in points:
                writer.add_scalar(tag, value, step)
        writer.close()


def write_evaluation(
    folder: Path, predictions: Predictions, protocol: Mapping[str, Any] | None = None
) -> None:
    """Write predictions and the results of scoring them."""
    folder.mkdir(parents=True, exist_ok=True)
    described = {"metric": {"name": "RetrievalMetric"}, "split": "test", **(protocol or {})}
    save_predictions(folder / "predictions.npz", predictions, described)
    rescore(folder / "predictions.npz")


def random_predictions(texts: int = 12, seed: int = 0) -> Predictions:
    """Return predictions of vectors that know a little; caption i belongs to video i."""
    rng = np.random.default_rng(seed)
    videos = rng.normal(size=(texts, 4)).astype(np.float32)
    vectors = videos + 0.5 * rng.normal(size=videos.shape).astype(np.float32)
    return as_vectors(predictions_of(np.eye(texts)), vectors, videos)


CURVES = {
    "train_inner": {
        "loss": [(step, 5.0 / step) for step in range(1, 30)],
        "lr": [(step, step * 1e-4) for step in range(1, 30)],
    },
    "train": {"loss": [(10, 2.0), (20, 1.0)]},
    "valid": {"loss": [(10, 2.5), (20, float("nan")), (30, 1.5)]},
}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Return a run folder with events and a configuration."""
    run = tmp_path / "my run"
    write_events(run / "tensorboard", CURVES)
    (run / "config.yaml").write_text("head: ContrastiveHead\n")
    return run


@pytest.fixture
def whole(trained: Path) -> Path:
    """Return a run folder with everything."""
    protocol = {"checkpoint": {"file": "checkpoint_best.pt", "sha256": "0" * 64}}
    write_evaluation(trained / "eval", random_predictions(), protocol)
    initial = {"checkpoint": "none: initial weights"}
    write_evaluation(trained / "eval_initial", random_predictions(seed=1), initial)
    return trained
