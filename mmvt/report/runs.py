"""Runs side by side: what there are, how they differ, and their losses in one picture."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmvt import run_record
from mmvt.config.merge import walk
from mmvt.config.yaml_file import parse_yaml
from mmvt.errors import DataError
from mmvt.files import atomic_write
from mmvt.report.curves import CONFIG, Curve, Training, read_training

RESULTS = "results.json"
_EVALUATIONS = "eval*"
_NOT_FIGURES = ("protocol", "chance")
# the figure that says most, of the metrics that have several
_MAIN = ("text_to_video.R@1", "accuracy", "R@1", "mIoU", "CIDEr")


@dataclass(frozen=True)
class Summary:
    """What a run folder says in one line, and what it is compared by.

    Attributes:
        folder: of the run.
        state: see :func:`mmvt.run_record.state`; None without a record.
        began: when it was last started.
        seed: of the run.
        updates: how many are in its curves.
        best_loss: the lowest of validation.
        results: figures of its evaluations by ``folder.figure``.
        config: leaves of its configuration by dotted key.
        record: content of ``run.json``.
        training: its curves.
    """

    folder: Path
    state: str | None = None
    began: datetime | None = None
    seed: int | None = None
    updates: int | None = None
    best_loss: float | None = None
    results: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] | None = None
    training: Training | None = None

    @property
    def main_result(self) -> tuple[str, float] | None:
        """The figure that says most of the evaluation on the test split: (name, value)."""
        of_test = {n.removeprefix("eval."): v for n, v in self.results.items() if "eval." in n[:5]}
        for name in (*_MAIN, *of_test):
            if name in of_test:
                return name, of_test[name]
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the summary without curves and configuration, ready for JSON."""
        return {
            "folder": str(self.folder),
            "state": self.state,
            "began": None if self.began is None else self.began.isoformat(),
            "seed": self.seed,
            "updates": self.updates,
            "best_loss": self.best_loss,
            "results": dict(self.results),
        }


@dataclass(frozen=True)
class Difference:
    """How two runs differ: by name, the value of each; what only one has is None in the other.

    Attributes:
        config: keys of the configuration.
        facts: seed, commit, versions, workers.
        results: all figures of both, alike or not.
    """

    config: Mapping[str, tuple[Any, Any]]
    facts: Mapping[str, tuple[Any, Any]]
    results: Mapping[str, tuple[float | None, float | None]]


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders below a folder, itself among them, by name.

    Raises:
        DataError: there is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder of runs")
    files = [path for name in (run_record.RECORD, CONFIG) for path in folder.rglob(name)]
    return sorted({path.parent for path in files})


def summarise(folder: Path) -> Summary:
    """Return the summary of a run.

    Raises:
        DataError: it is no folder of a run, or a file is damaged.
    """
    record = run_record.read(folder)
    path = folder / CONFIG
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    results = _results(folder)
    if record is None and not text and not results:
        raise DataError(f"{folder}: is no folder of a run: there is no {run_record.RECORD}")
    training = read_training(folder, text)
    curves = training.curves if training else {}
    validation = curves.get("valid/loss")
    steps = [curve.steps[-1] for curve in curves.values() if len(curve.steps)]
    began = training.ended if training else None
    if record is not None:
        began = datetime.fromisoformat(record["starts"][-1]["began"])
    return Summary(
        folder=folder,
        state=None if record is None else run_record.state(record),
        began=began,
        seed=None if record is None else record["seed"],
        updates=int(max(steps)) if steps else None,
        best_loss=float(validation.values.min()) if validation and len(validation.values) else None,
        results=results,
        config=_leaves(parse_yaml(text, path).data),
        record=record,
        training=training,
    )


def compare(one: Summary, other: Summary) -> Difference:
    """Return how two runs differ, and the figures of both."""
    figures = {"best valid loss": (one.best_loss, other.best_loss)}
    figures |= {"updates": (one.updates, other.updates)}
    names = dict.fromkeys([*one.results, *other.results])
    figures |= {name: (one.results.get(name), other.results.get(name)) for name in names}
    return Difference(
        _differing(one.config, other.config), _differing(_facts(one), _facts(other)), figures
    )


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*one, *other])
    pairs = {name: (one.get(name), other.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _facts(run: Summary) -> dict[str, Any]:
    """Return what a record says of how a run was made, but for its times and commands."""
    if run.record is None:
        return {}
    last = run.record["starts"][-1]
    facts = {name: run.record[name] for name in ("task", "seed", "workers")}
    facts |= {"host": last["host"]["name"], "gpus": ", ".join(last["host"]["gpus"]) or None}
    for name, state in last["git"].items():
        if state is not None:
            facts[f"git.{name}"] = state["commit"][:12] + (" and changes" if state["dirty"] else "")
    return facts | {f"version.{name}": version for name, version in last["versions"].items()}


def _leaves(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is no mapping by its dotted key; a list is one value."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            found |= {f"{key}.{name}": leaf for name, leaf in _leaves(value).items()}
        else:
            found[key] = value
    return found


def _results(folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for path in sorted(folder.glob(f"{_EVALUATIONS}/{RESULTS}")):
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: is no JSON: {error}") from error
        for keys, value in walk(results):
            figure = isinstance(value, (int, float)) and not isinstance(value, bool)
            if figure and not set(keys) & set(_NOT_FIGURES):
                found[".".join((path.parent.name, *keys))] = float(value)
    return found


def plot_losses(runs: Sequence[Summary], path: Path) -> None:
    """Write a picture of the losses of runs: of training on the left, of validation on the right.

    Args:
        runs: with curves.
        path: of a PNG or SVG file.

    Raises:
        DataError: no run has curves, or the file is to be of another kind.
    """
    from matplotlib.figure import Figure

    if path.suffix not in (".png", ".svg"):
        raise DataError(f"{path}: must end in .png or .svg")
    if not any(run.training for run in runs):
        raise DataError("none of the runs has curves")
    figure = Figure(figsize=(11, 4), layout="constrained")
    parts = {"training": ("train_inner/loss", "train/loss"), "validation": ("valid/loss",)}
    for axes, (title, names) in zip(
        figure.subplots(1, 2, sharex=True, sharey=True), parts.items(), strict=True
    ):
        for run, label in zip(runs, _labels(runs), strict=True):
            curve = _first(run, names)
            if curve is not None:
                # the points of a short validation would not be seen without a marker
                marker = "o" if len(curve.steps) < 30 else ""
                axes.plot(curve.steps, curve.values, label=label, marker=marker, markersize=3)
        axes.set_title(f"{title} loss", loc="left")
        axes.set_xlabel("update")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.lines:
            axes.legend(frameon=False)
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=120)


def _first(run: Summary, names: Sequence[str]) -> Curve | None:
    curves = run.training.curves if run.training else {}
    return next((curves[name] for name in names if name in curves), None)


def _labels(runs: Sequence[Summary]) -> list[str]:
    """Return the folders without what all of them begin with; a dollar sign is one."""
    parts = [run.folder.resolve().parts for run in runs]
    shared = len(Path(os.path.commonpath([run.folder.resolve() for run in runs])).parts)
    if len({*parts}) == 1:  # the folder itself
        shared = len(parts[0]) - 1
    names = ["/".join(part[shared:]) or part[-1] for part in parts]
    return [name.replace("$", r"\$") for name in names]


def latest(runs: Sequence[Summary]) -> list[Summary]:
    """Return runs in the order in which they were started, the last first."""
    never = datetime.fromtimestamp(0, UTC)
    return sorted(runs, key=lambda run: run.began or never, reverse=True)
