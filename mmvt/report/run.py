"""What a run folder holds: the curves of the training, results, predictions, the configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.evaluators.predictions import PREDICTIONS, RESULTS, load_predictions
from mmvt.report.curves import CONFIG, Training, read_training

DIRECTIONS = ("text_to_video", "video_to_text")
MAIN_EVALUATION = "eval"


@dataclass(frozen=True)
class Evaluation:
    """Results, with the predictions they are of.

    Attributes:
        name: of the folder.
        results: content of ``results.json``.
        predictions: None where the file is absent.
        written: when the results were written.
    """

    name: str
    results: Mapping[str, Any]
    predictions: Predictions | None
    written: datetime

    @property
    def protocol(self) -> Mapping[str, Any]:
        """What the results say of how they were made."""
        return self.results["protocol"]

    @property
    def label(self) -> str | None:
        """``initial weights`` where no checkpoint was loaded, or None."""
        untrained = isinstance(self.protocol.get("checkpoint"), str)
        return "initial weights" if untrained else None


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        folder: where it lies.
        config: text of its ``config.yaml``, empty where there is none.
        training: None where nothing was trained, or no events were written.
        evaluations: of retrieval: the one to report first, then those of the same split.
        captions: of captions that were written; None where there are none.
        other_results: results that are not of retrieval, by folder.
    """

    folder: Path
    config: str
    training: Training | None
    evaluations: list[Evaluation]
    captions: Evaluation | None = None
    other_results: Mapping[str, Any] = field(default_factory=dict)


def read_run(folder: Path) -> Run:
    """Return what a run folder holds.

    Args:
        folder: of a run, as fairseq's ``save_dir`` names it, or of results alone.

    Raises:
        DataError: there are neither curves nor results, or a file is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    config = folder / CONFIG
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    training = read_training(folder, text)
    paths = [folder / RESULTS, *sorted(folder.glob(f"{MAIN_EVALUATION}*/{RESULTS}"))]
    every = [_evaluation(path) for path in paths if path.is_file()]
    retrieval = [one for one in every if _is_retrieval(one.results)]
    if not every and training is None:
        raise DataError(
            f"{folder}: holds neither results ({MAIN_EVALUATION}/{RESULTS}; make them with: mmvt "
            "predict) nor events of a training (tensorboard/)"
        )
    ids = retrieval[0].protocol["ids_sha256"] if retrieval else ""
    alike = [one for one in retrieval if one.protocol["ids_sha256"] == ids]
    others = {one.name: one.results for one in every if one not in alike}
    written = next((one for one in every if _is_of_captions(one)), None)
    return Run(folder, text, training, alike, written, others)


def _is_retrieval(results: Mapping[str, Any]) -> bool:
    """Return whether results are those of RetrievalMetric, by what they hold."""
    directions = [results.get(name) for name in DIRECTIONS]
    return (
        all(isinstance(figures, dict) and "chance" in figures for figures in directions)
        and isinstance(results.get("protocol"), dict)
        and {"captions", "videos", "ids_sha256"} <= results["protocol"].keys()
    )


def _is_of_captions(evaluation: Evaluation) -> bool:
    return evaluation.predictions is not None and "hypotheses" in evaluation.predictions


def _evaluation(path: Path) -> Evaluation:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: is no JSON: {error}") from error
    if not isinstance(results, dict):
        raise DataError(f"{path}: holds no results")
    saved = path.with_name(PREDICTIONS)
    predictions = load_predictions(saved)[0] if saved.is_file() else None
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Evaluation(path.parent.name, results, predictions, written)
