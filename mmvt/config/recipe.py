"""A recipe: a checked task YAML, ready to build its dataset, model, loss and the rest."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvt.config.compose import resolve
from mmvt.config.fit import check_parts, check_words, notes_on_language_model
from mmvt.config.merge import Layer, value_at
from mmvt.config.original import UNSET, UNUSED
from mmvt.config.plan import Plan, Planner
from mmvt.config.project import load_task
from mmvt.config.translation import MARK
from mmvt.config.yaml_file import UNKNOWN
from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.errors import ConfigError, PluginError, nearest, position
from mmvt.plugins import Plugins, load_plugins

if TYPE_CHECKING:
    from mmvt.evaluators.base import Metric, Predictor
    from mmvt.features.extraction import Extraction
    from mmvt.losses.base import Loss
    from mmvt.models.base import Head
    from mmvt.models.model import MultimodalModel
    from mmvt.models.speed import Speed
    from mmvt.models.trainable import Trainable
    from mmvt.tasks.task import Task

logger = logging.getLogger(__name__)

SECTIONS = (
    "features",
    "dataset",
    "encoders",
    "trunk",
    "head",
    "loss",
    "task",
    "predictor",
    "metric",
    "speed",
    "trainable",
)
PASSED_THROUGH = ("fairseq", "plugins", "project_dir", "base_dir", "prepare", MARK)
DEFAULT_OF_HEAD = ("trunk", "loss", "layout", "predictor", "metric")


@dataclass
class Recipe:
    """The plans of all parts of one task.

    Attributes:
        path: the YAML.
        layer: its composition, interpolations unresolved (so secrets never reach a saved file).
        plans: a plan a slot: ``dataset``, ``trunk``, ``head``, ``loss``, ``task``, ``predictor``,
            ``metric``; ``features`` where raw video can be used; ``speed`` and ``trainable`` where
            they are set.
        encoders: a plan a modality.
        fairseq: the ``fairseq`` section, resolved.
        notes: keys of the original toolkit that have no meaning here, and why.
    """

    path: Path
    layer: Layer
    plans: dict[str, Plan]
    encoders: dict[str, Plan]
    fairseq: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path, overrides: Sequence[str] = (), *, trust_code: bool = False) -> Recipe:
        """Return the recipe of a task YAML, and log the notes of one for the original toolkit.

        Args:
            path: the YAML; it is trusted (see :mod:`mmvt.config.compose`). An expansion that was
                not written yet is made in memory.
            overrides: ``key.sub=value`` arguments.
            trust_code: trust what it includes as well.

        Raises:
            ConfigError: with every problem of the file.
        """
        recipe = cls.from_layer(path, load_task(path, overrides, trust_code=trust_code))
        if recipe.notes:
            logger.warning("\n".join(recipe.notes))
        return recipe

    @classmethod
    def from_layer(cls, path: Path, layer: Layer) -> Recipe:
        """Return the recipe of a composed configuration.

        Raises:
            ConfigError: with every problem.
        """
        if "task_group" in layer.data:
            raise ConfigError(
                f"{path}: is a project; run it through locallaunch.py, or name a task"
            )
        resolved = resolve(layer)
        plugins, plugin_problems = _load_plugins(layer)
        planner = Planner(
            resolved,
            plugins,
            _defaults_of_head(resolved, plugins),
            written=layer,
            some_plugins=bool(plugin_problems) or layer.data.get("plugins") is UNKNOWN,
        )
        plans = {slot: planner.slot(slot, (slot,)) for slot in ("trunk", "head", "loss", "task")}
        plans["dataset"] = planner.section(MultimodalDataset, ("dataset",))
        if planner.mapping(("features",)):
            plans["features"] = planner.section(_extraction(), ("features",))
        if planner.mapping(("speed",)):
            plans["speed"] = planner.section(_speed(), ("speed",))
        if planner.mapping(("trainable",)):
            plans["trainable"] = planner.section(_trainable(), ("trainable",))
        plans |= {slot: planner.slot(slot, (slot,)) for slot in ("predictor", "metric")}
        encoders = {
            name: planner.slot("encoder", ("encoders", name))
            for name in planner.mapping(("encoders",))
        }
        _check_passed_through(planner)
        is_original = resolved.data.get(MARK) is True
        unused = UNUSED if is_original else ()
        notes = planner.report_unclaimed(SECTIONS, PASSED_THROUGH, unused)
        problems = [*resolved.problems, *plugin_problems, *planner.problems]
        if problems:
            raise ConfigError(sorted(problems, key=position))
        complete = {slot: plan for slot, plan in plans.items() if plan is not None}
        if is_original:
            _take_as_unset(complete["dataset"])
        recipe = cls(
            path,
            layer,
            complete,
            {name: plan for name, plan in encoders.items() if plan is not None},
            resolved.data.get("fairseq", {}),
            [*layer.notes, *notes],
        )
        check_parts(recipe)
        recipe.notes.extend(notes_on_language_model(recipe))
        return recipe

    @property
    def seed(self) -> int:
        """The run's seed: ``fairseq.common.seed``, 1 unless set."""
        seed = value_at(self.fairseq, ("common", "seed"))
        if type(seed) not in (int, type(None)):
            raise ConfigError(f"{self.path}: fairseq.common.seed must be int, not {seed!r}")
        return 1 if seed is None else seed

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
        head = self.plans["head"].build(**width, transform=not trunk.tells_words)
        return MultimodalModel(encoders, trunk, head)

    def model_in_training(self) -> MultimodalModel:
        """Return the model with its initial weights, run as the YAML says for training.

        Raises:
            ConfigError: it cannot be run so.
        """
        model = self.model()
        check_words(self, model)
        if "trainable" in self.plans:
            trainable: Trainable = self.plans["trainable"].build()
            trainable.apply(model)
        if "speed" in self.plans:
            speed: Speed = self.plans["speed"].build()
            speed.apply(model)
        return model

    def extraction(self) -> Extraction:
        """Return what turns video files into features.

        Raises:
            ConfigError: the YAML does not say how.
        """
        if "features" not in self.plans:
            raise ConfigError(
                f"{self.path}: features is missing; it says how video files become features, such "
                "as features: {encoder: EfficientNetLite0, fps: 1}"
            )
        extraction: Extraction = self.plans["features"].build()
        return extraction

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


def _take_as_unset(dataset: Plan) -> None:
    """Give the aligners what the original took for keys that its YAML does not have."""
    for value in dataset.values.values():
        if isinstance(value, Plan):
            value.values = UNSET.get(value.cls.__name__, {}) | value.values


def _extraction() -> type[Extraction]:
    from mmvt.features.extraction import Extraction

    return Extraction


def _speed() -> type[Speed]:
    from mmvt.models.speed import Speed

    return Speed


def _trainable() -> type[Trainable]:
    from mmvt.models.trainable import Trainable

    return Trainable


def _load_plugins(layer: Layer) -> tuple[Plugins, list[str]]:
    """Return the plugins of mmvt and of each file that can be imported, and what is wrong."""
    plugins, problems = load_plugins(), []
    names = layer.data.get("plugins")
    for name in names if isinstance(names, list) else []:
        try:
            plugins.add_file(Path(name))
        except PluginError as error:
            problems.append(f"{layer.where(('plugins',))}: {error}")
    return plugins, problems


def _defaults_of_head(layer: Layer, plugins: Plugins) -> dict[str, str | None]:
    """Return what the head names for the slots that are left open; None if that cannot be told."""
    defaults: dict[str, str | None] = {"task": "Task"}
    value = layer.data.get("head")
    name = value.get("name") if isinstance(value, Mapping) else value
    near = nearest(name, plugins.registries["head"].names()) if isinstance(name, str) else None
    if near is None:
        return defaults | dict.fromkeys(DEFAULT_OF_HEAD)
    head: type[Head] = plugins.get("head", near)
    return defaults | dict(head.defaults)


def _check_passed_through(planner: Planner) -> None:
    """Note what is wrong with the form of the keys that no plugin takes."""
    for key in ("project_dir", "base_dir", "prepare"):
        value = planner.value((key,))
        if not (value is None or value is UNKNOWN or isinstance(value, str)):
            planner.problem((key,), f"must be text, not {value!r}")
    if planner.value((MARK,)) not in (None, True, False):
        planner.problem((MARK,), f"must be true or false, not {planner.value((MARK,))!r}")
    for group in planner.mapping(("fairseq",)):
        planner.mapping(("fairseq", group))
