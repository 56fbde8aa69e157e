"""From weights to results: predictions, which are saved, and what a metric says of them.

``predictions.npz`` holds the predictor's arrays, and how they were made as JSON; a metric needs
nothing else, so that scoring the file again gives the same bytes of ``results.json``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from mmvt.checkpoint import load_into, load_state
from mmvt.config.merge import value_at
from mmvt.config.recipe import Recipe
from mmvt.distributed import is_first
from mmvt.errors import CheckpointError, ConfigError
from mmvt.evaluators.base import Metric, Predictions
from mmvt.evaluators.predictions import (
    PREDICTIONS,
    RESULTS,
    Protocol,
    load_predictions,
    save_predictions,
)
from mmvt.evaluators.protocol import build_metric, describe_plan, describe_run, plain
from mmvt.files import atomic_write_json
from mmvt.models.convert_mmpt import from_mmpt, is_mmpt
from mmvt.models.model import MultimodalModel

logger = logging.getLogger(__name__)

CHECKPOINTS = ("checkpoint_best.pt", "checkpoint_last.pt")

Results = dict[str, Any]


def evaluate(recipe: Recipe, checkpoint: Path | None, split: str, folder: Path) -> Results:
    """Predict a split, write ``predictions.npz`` and ``results.json``; return the results.

    Of several processes that evaluate together (:mod:`mmvt.distributed`) only the first writes and
    scores; the others return nothing.

    Args:
        recipe: the task.
        checkpoint: weights; None for the initial ones, which the seed decides.
        split: ``train``, ``valid`` or ``test``.
        folder: where both files go; each is written whole or not at all.

    Raises:
        CheckpointError: the weights are unsafe, torn, or do not fit.
        DataError: data is missing or wrong, or a prediction is not a number.
    """
    dataset = recipe.dataset(split)
    predictor, metric = recipe.predictor(), recipe.metric()
    predictions = predictor(load_model(recipe, checkpoint), dataset)
    if not is_first():
        return {}
    protocol = plain(describe_run(recipe, dataset, checkpoint, split))
    # results of other predictions may not stand beside these, if scoring fails
    (folder / RESULTS).unlink(missing_ok=True)
    save_predictions(folder / PREDICTIONS, predictions, protocol)
    return _score(predictions, protocol, metric, folder)


def rescore(path: Path, folder: Path | None = None, recipe: Recipe | None = None) -> Results:
    """Score saved predictions again, write ``results.json``, and return the results.

    Args:
        path: a file that :func:`evaluate` wrote.
        folder: where the results go; by default beside the predictions.
        recipe: a task whose metric scores them; by default the metric they were made for.

    Raises:
        DataError: the file is missing or damaged, or a prediction is missing or not a number.
    """
    predictions, protocol = load_predictions(path)
    if recipe is None:
        metric = build_metric(protocol.get("metric", {}))
    else:
        metric = recipe.metric()
        protocol = {**protocol, "metric": describe_plan(recipe.plans["metric"])}
    return _score(predictions, protocol, metric, folder or path.parent)


def _score(predictions: Predictions, protocol: Protocol, metric: Metric, folder: Path) -> Results:
    scored = dict(metric(predictions))
    results = plain({**scored, "protocol": {**protocol, **scored.get("protocol", {})}})
    atomic_write_json(folder / RESULTS, results)
    return results


def load_model(recipe: Recipe, checkpoint: Path | None) -> MultimodalModel:
    """Return the model of a recipe, in float32 and in evaluation mode, on the GPU if there is one.

    Args:
        recipe: the task.
        checkpoint: weights, ours or of the original toolkit; None for the initial ones, which the
            seed decides. Those of a head that the model does not have, as after pre-training, are
            left out with a warning.

    Raises:
        CheckpointError: the weights are unsafe, torn, or do not fit.
    """
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = recipe.model()
    if checkpoint is not None:
        try:
            state = load_state(checkpoint)
            state = from_mmpt(state) if is_mmpt(state) else state
            report = load_into(model, state, allow_unexpected=["head.*"])
        except CheckpointError as error:
            raise CheckpointError(f"{checkpoint}: {error}") from error
        if report.unexpected:
            left_out = ", ".join(report.unexpected)
            logger.warning("%s: weights of another head are left out: %s", checkpoint, left_out)
    on_cpu = value_at(recipe.fairseq, ("common", "cpu")) or not torch.cuda.is_available()
    return model.float().eval().to("cpu" if on_cpu else "cuda")


def save_dir(recipe: Recipe) -> Path:
    """Return the folder of the run, ``fairseq.checkpoint.save_dir``.

    Raises:
        ConfigError: the task does not say.
    """
    folder = value_at(recipe.fairseq, ("checkpoint", "save_dir"))
    if not isinstance(folder, str):
        raise ConfigError(
            f"{recipe.path}: fairseq.checkpoint.save_dir is missing; it names the folder of the "
            "checkpoints and of the results"
        )
    return Path(folder)


def find_checkpoint(recipe: Recipe) -> Path:
    """Return the checkpoint that a task is evaluated with.

    It is ``fairseq.common_eval.path``, such as that of the pre-training for a task that has no
    training of its own; unset, the best checkpoint of the task's run, or else its last.

    Raises:
        CheckpointError: there is none; the message lists the paths that were tried.
    """
    named = value_at(recipe.fairseq, ("common_eval", "path"))
    folder = save_dir(recipe)
    tried = [Path(named)] if isinstance(named, str) else [folder / name for name in CHECKPOINTS]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise CheckpointError(
            f"no checkpoint of {recipe.path}: tried {_listed(tried)}; train it first, or choose "
            "with --checkpoint PATH, or none for the initial weights"
        )
    return found


def _listed(paths: Iterable[Path]) -> str:
    return " and ".join(map(str, paths))


def results_folder(recipe: Recipe, checkpoint: Path | None, split: str) -> Path:
    """Return where results go by default: ``eval`` in the folder of the run.

    A split other than ``test`` is in the name, and so are initial weights, so that neither replaces
    the results that count.
    """
    name = "eval" if split == "test" else f"eval_{split}"
    return save_dir(recipe) / (name if checkpoint else f"{name}_initial")
