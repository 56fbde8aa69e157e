"""What a result must say beside its figures, so that they can be compared with others."""

from __future__ import annotations

import json
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmvt.config.fields import convert, fields_of
from mmvt.config.plan import Plan
from mmvt.config.recipe import Recipe
from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import DataError, MMVTError
from mmvt.evaluators.base import Metric
from mmvt.evaluators.predictions import Protocol
from mmvt.files import sha256_file
from mmvt.plugins import load_plugins
from mmvt.processors.video.store import StoreVideoProcessor
from mmvt.redaction import without_secrets

PACKAGES = ("mmvt", "numpy", "torch", "transformers")
SECTIONS = ("dataset", "encoders", "trunk", "head")


def describe_run(
    recipe: Recipe, dataset: MultimodalDataset, checkpoint: Path | None, split: str
) -> Protocol:
    """Return how predictions are made: data, features, model, weights, seed, versions.

    Nothing in it changes from one machine or day to another, as long as the run does not.

    Args:
        recipe: the task.
        dataset: its split.
        checkpoint: the weights; None for the initial ones.
        split: name of the split.
    """
    written = recipe.layer.data
    return {
        "split": split,
        "task": recipe.path.stem,
        "project": written.get("project_dir"),
        "config": plain({name: written[name] for name in SECTIONS if name in written}),
        "features": _features(dataset),
        "checkpoint": _checkpoint(checkpoint),
        "seed": recipe.seed,
        "precision": "float32",
        "predictor": describe_plan(recipe.plans["predictor"]),
        "metric": describe_plan(recipe.plans["metric"]),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Return the name of a plugin and the options it was given, ready for JSON."""
    return plain({"name": plan.cls.__name__, **plan.values})


def build_metric(described: dict[str, Any]) -> Metric:
    """Return the metric that :func:`describe_plan` described.

    Raises:
        DataError: there is no such metric, or it takes other options.
    """
    options = {name: value for name, value in described.items() if name != "name"}
    try:
        cls = load_plugins().get("metric", described.get("name", ""))
        known = {field.name: field.annotation for field in fields_of(cls)}
        metric: Metric = cls(**{name: convert(options[name], known[name]) for name in options})
    except (MMVTError, KeyError, TypeError) as error:
        raise DataError(
            f"the metric of the predictions cannot be built ({error}); name the task YAML as well"
        ) from error
    return metric


def plain(data: Any) -> Any:
    """Return data as JSON gives it back; what JSON has no form for becomes text, secrets go."""
    return without_secrets(json.loads(json.dumps(data, default=str)))


def _features(dataset: MultimodalDataset) -> dict[str, Any]:
    processor = dataset.video_processor
    if isinstance(processor, StoreVideoProcessor):
        return plain(processor.store.manifest.options())
    return {"fps": processor.fps}


def _checkpoint(path: Path | None) -> dict[str, str] | str:
    if path is None:
        return "none: initial weights"
    return {"file": path.name, "sha256": sha256_file(path)}


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        # a checkout on the path that was never installed has no version
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
