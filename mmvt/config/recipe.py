"""A recipe: a checked task YAML, ready to build its dataset, model, loss and the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvt.config.compose import compose, resolve, root_of
from mmvt.config.merge import Layer, merge, read_overrides
from mmvt.config.plan import Plan, Planner
from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, PluginError
from mmvt.models.base import Head
from mmvt.plugins import Plugins, load_plugins

if TYPE_CHECKING:
    from mmvt.evaluators.base import Metric, Predictor
    from mmvt.losses.base import Loss
    from mmvt.models.model import MultimodalModel
    from mmvt.tasks.task import Task

SECTIONS = (
    "dataset",
    "encoders",
    "trunk",
    "head",
    "loss",
    "task",
    "predictor",
    "metric",
    "fairseq",
    "plugins",
    "project_dir",
    "base_dir",
    "prepare",
)
PASSED_THROUGH = ("fairseq", "plugins", "project_dir", "base_dir", "prepare")


@dataclass
class Recipe:
    """The plans of all parts of one task.

    Attributes:
        path: the YAML.
        layer: its composition, interpolations unresolved (so secrets never reach a saved file).
        plans: a plan a slot: ``dataset``, ``trunk``, ``head``, ``loss``, ``task``, ``predictor``,
            ``metric``.
        encoders: a plan a modality.
        fairseq: the ``fairseq`` section, resolved.
    """

    path: Path
    layer: Layer
    plans: dict[str, Plan]
    encoders: dict[str, Plan]
    fairseq: Mapping[str, Any]

    @classmethod
    def load(
        cls, path: Path, overrides: Sequence[str] = (), *, trust_code: bool = False
    ) -> Recipe:
        """Return the recipe of a task YAML.

        Args:
            path: the YAML; it is trusted (see :mod:`mmvt.config.compose`).
            overrides: ``key.sub=value`` arguments.
            trust_code: trust what it includes as well.

        Raises:
            ConfigError: with every problem of the file.
        """
        layer = merge(compose(path, trust_code=trust_code), read_overrides(list(overrides)))
        return cls.from_layer(path, layer)

    @classmethod
    def from_layer(cls, path: Path, layer: Layer) -> Recipe:
        """Return the recipe of a composed configuration.

        Raises:
            ConfigError: with every problem.
        """
        if "task_group" in layer.data:
            raise ConfigError(f"{path} is a project; run it through locallaunch.py, or name one task")
        resolved = resolve(layer)
        plugins = load_plugins(plugin_files(path, layer))
        planner = Planner(resolved, plugins, _defaults_of_head(resolved, plugins))
        plans = {slot: planner.slot(slot, (slot,)) for slot in ("trunk", "head", "loss")}
        plans["dataset"] = planner.bind(MultimodalDataset, ("dataset",), ("dataset",))
        plans |= {slot: planner.slot(slot, (slot,)) for slot in ("predictor", "metric", "task")}
        encoders = {
            name: planner.slot("encoder", ("encoders", name)) for name in _encoder_names(planner)
        }
        planner.report_unclaimed(SECTIONS, PASSED_THROUGH)
        if planner.problems:
            raise ConfigError(planner.problems)
        _check_ports(plans, encoders)
        return cls(
            path,
            layer,
            {slot: plan for slot, plan in plans.items() if plan is not None},
            {name: plan for name, plan in encoders.items() if plan is not None},
            resolved.data.get("fairseq", {}),
        )

    @property
    def seed(self) -> int:
        """The run's seed: ``fairseq.common.seed``, 1 unless set."""
        return int(self.fairseq.get("common", {}).get("seed", 1))

    def dataset(self, split: str) -> MultimodalDataset:
        """Return the dataset of a split: ``train``, ``valid`` or ``test``."""
        dataset: MultimodalDataset = self.plans["dataset"].build(split=split, seed=self.seed)
        return dataset

    def model(self) -> MultimodalModel:
        """Return the model with its initial weights."""
        from mmvt.models.model import MultimodalModel

        trunk = self.plans["trunk"].build()
        width = {"hidden_size": trunk.hidden_size}
        encoders = {name: plan.build(**width) for name, plan in self.encoders.items()}
        return MultimodalModel(encoders, trunk, self.plans["head"].build(**width))

    def loss(self) -> Loss:
        """Return the loss."""
        loss: Loss = self.plans["loss"].build()
        return loss

    def task(self) -> Task:
        """Return the task."""
        task: Task = self.plans["task"].build(seed=self.seed)
        return task

    def predictor(self) -> Predictor:
        """Return the predictor."""
        predictor: Predictor = self.plans["predictor"].build()
        return predictor

    def metric(self) -> Metric:
        """Return the metric."""
        metric: Metric = self.plans["metric"].build()
        return metric


def plugin_files(path: Path, layer: Layer) -> list[Path]:
    """Return the files listed under ``plugins:``, resolved against the YAML's folder.

    Raises:
        ConfigError: the list is malformed, or a file lies outside of the YAML's root.
    """
    names = layer.data.get("plugins") or []
    where = layer.origins.get(("plugins",), str(path))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{where}: plugins takes a list of Python files")
    root = root_of(path, layer.data.get("project_dir"))
    files = [(path.parent / name).resolve() for name in names]
    outside = [n for n, file in zip(names, files, strict=True) if not file.is_relative_to(root)]
    if outside:
        raise ConfigError(f"{where}: plugin file {outside[0]} lies outside of {root}")
    return files


def _defaults_of_head(layer: Layer, plugins: Plugins) -> dict[str, str]:
    """Return what the head names for the slots that are left open."""
    defaults = {"task": "Task"}
    value = layer.data.get("head")
    name = value.get("name") if isinstance(value, Mapping) else value
    if not isinstance(name, str):
        return defaults
    try:
        head = plugins.get("head", name)
    except PluginError:
        return defaults  # the planner reports it
    return defaults | dict(head.defaults) if issubclass(head, Head) else defaults


def _encoder_names(planner: Planner) -> list[str]:
    value = planner.value(("encoders",))
    if value is None:
        return []
    if not isinstance(value, Mapping):
        planner.problem(("encoders",), "must name an encoder for each modality")
        return []
    return list(value)


def _check_ports(plans: Mapping[str, Plan | None], encoders: Mapping[str, Plan | None]) -> None:
    from mmvt.models.model import check_ports
    from mmvt.processors.base import WIRE_KEYS

    aligner = plans["dataset"].values["aligner"].cls if plans["dataset"] else None
    keys = (*WIRE_KEYS, *(aligner.produces if aligner else ()))
    trunk, head, loss = (plans[slot] for slot in ("trunk", "head", "loss"))
    if trunk and head and loss:
        check_ports(
            keys,
            {name: plan.cls for name, plan in encoders.items() if plan},
            trunk.cls,
            head.cls,
            loss.cls,
        )
