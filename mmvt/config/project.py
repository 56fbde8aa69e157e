"""Expands a project YAML over task templates: one file in, one configuration a task out.

``task_group`` stamps overrides on templates of ``base_dir``; keys beside it apply to every task.
A YAML without ``task_group`` is a task itself. Expanding is pure; the launcher writes the files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvt.config.compose import TEMPLATES, compose, compose_template, root_of
from mmvt.config.merge import Layer, merge, read_overrides, to_yaml
from mmvt.config.recipe import plugin_files
from mmvt.errors import ConfigError, did_you_mean
from mmvt.files import atomic_write_text

PROJECT_KEYS = ("project_dir", "base_dir", "run_task", "task_group")
TEST_GROUP = "test"
_HEADER = "# generated from {source}; edit that, not this (an edited copy is kept); sha256 {digest}\n"


@dataclass(frozen=True)
class TaskFile:
    """One task of a project.

    Attributes:
        name: name of its template, such as ``videoclip.yaml``.
        path: the YAML that a job runs.
        layer: its configuration, interpolations unresolved.
        source: the project it was expanded from; None for a YAML that is a task itself.
        overrides: command-line overrides that ``path`` does not hold.
    """

    name: str
    path: Path
    layer: Layer
    source: Path | None = None
    overrides: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The content of an expansion, with its header."""
        body = to_yaml(self.layer.data)
        return _HEADER.format(source=self.source, digest=_digest(body)) + body

    def write(self, *, force: bool = False) -> None:
        """Write the expansion; a YAML that is a task itself is left alone.

        Raises:
            ConfigError: the file was edited, or was never generated, and ``force`` is not set.
        """
        if self.source is None:
            return
        if self.path.exists() and not force and not is_generated(self.path):
            raise ConfigError(
                f"{self.path} was edited or written by hand, and {self.source} would overwrite it; "
                "rename it, or add --force"
            )
        atomic_write_text(self.path, self.text)


@dataclass(frozen=True)
class Project:
    """The tasks of a project, in the order in which they run.

    Attributes:
        tasks: every task by name.
        steps: names of the tasks to run, one step after the other, those of a step in parallel.
    """

    tasks: Mapping[str, TaskFile]
    steps: Sequence[Sequence[str]]

    def test_steps(self) -> Sequence[Sequence[str]]:
        """Return the steps of an evaluation job: the ``test`` group, or all there are."""
        tests = [[name] for name in self.tasks if name.startswith(f"{TEST_GROUP}/")]
        return tests or self.steps


def load_project(
    path: Path, overrides: Sequence[str] = (), *, trust_code: bool = False
) -> Project:
    """Return the expanded tasks of a project YAML.

    Args:
        path: a project, or a task.
        overrides: ``key.sub=value``; a key of the project changes the project, every other key
            changes each of its tasks.
        trust_code: trust included files and templates (see :mod:`mmvt.config.compose`).

    Raises:
        ConfigError: a key is missing or malformed, or a template does not exist.
    """
    layer = compose(path, trust_code=trust_code)
    over = read_overrides(list(overrides))
    if "task_group" not in layer.data:
        task = TaskFile(path.name, path, merge(layer, over), overrides=tuple(overrides))
        return Project({path.name: task}, [[path.name]])
    layer = merge(layer, over)
    _check_project(path, layer)
    groups: dict[str, TaskFile] = {}
    for group in layer.data["task_group"]:
        for name in layer.under("task_group", group).data.get("task_list", []):
            key = f"{group}/{name}" if group == TEST_GROUP else name
            groups[key] = _expand(path, layer, group, name, trust_code)
    return Project(groups, _steps(path, layer, groups))


def _check_project(path: Path, layer: Layer) -> None:
    problems = [
        f"{layer.origins.get((key,), path)}: {key} must be text"
        for key in ("project_dir", "base_dir")
        if not isinstance(layer.data.get(key), str)
    ]
    groups = layer.data["task_group"]
    if not isinstance(groups, Mapping) or not groups:
        problems.append(f"{layer.origins[('task_group',)]}: task_group must hold groups of tasks")
        raise ConfigError(problems)
    for name, group in groups.items():
        names = group.get("task_list") if isinstance(group, Mapping) else None
        if not isinstance(names, list) or not all(isinstance(task, str) for task in names):
            where = layer.origins.get(("task_group", name), path)
            problems.append(f"{where}: task_group.{name}.task_list must list task files")
    if problems:
        raise ConfigError(problems)


def _expand(path: Path, project: Layer, group: str, name: str, trust_code: bool) -> TaskFile:
    base_dir, project_dir = project.data["base_dir"], project.data["project_dir"]
    root = root_of(path)
    template = _find_template(root, base_dir, name, project.origins.get(("task_group", group), ""))
    layer = compose_template(template, path, trust_code=trust_code)
    layer = merge(layer, project.without(*PROJECT_KEYS))
    layer = merge(layer, project.under("task_group", group).without("task_list"))
    target = root / project_dir / name
    if not target.resolve().is_relative_to(root) or target.resolve() == path.resolve():
        where = project.origins.get(("project_dir",), str(path))
        raise ConfigError(f"{where}: {project_dir}/{name} would be written outside of {root}")
    data = _moved(layer.data, f"runs/{base_dir}", f"runs/{project_dir}")
    data["project_dir"] = project_dir
    if "plugins" in data:
        files = plugin_files(path, layer)
        # paths are written as seen from the expansion, which lies in a folder of its own
        data["plugins"] = [os.path.relpath(file, target.resolve().parent) for file in files]
    return TaskFile(name, _shortest(target), Layer(data, layer.origins), source=path)


def _find_template(root: Path, base_dir: str, name: str, where: str) -> Path:
    folders = [root / base_dir, Path("projects") / base_dir, TEMPLATES / base_dir]
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if found is None:
        known = {p.name for folder in folders for p in folder.glob("*.yaml")}
        prefix = f"{where}: " if where else ""
        raise ConfigError(f"{prefix}no task template {base_dir}/{name}{did_you_mean(name, known)}")
    return _shortest(found)


def _steps(path: Path, layer: Layer, tasks: Mapping[str, TaskFile]) -> list[list[str]]:
    value = layer.data.get("run_task")
    if value is None:
        return [[name] for name in tasks if not name.startswith(f"{TEST_GROUP}/")]
    where = layer.origins.get(("run_task",), str(path))
    steps = [step if isinstance(step, list) else [step] for step in value]
    unknown = [name for step in steps for name in step if name not in tasks]
    if unknown:
        hint = did_you_mean(str(unknown[0]), tasks)
        raise ConfigError(f"{where}: run_task names {unknown[0]!r}, which is in no task_list{hint}")
    return steps


def _moved(value: Any, old: str, new: str) -> Any:
    """Return the configuration with run folders under ``old`` moved under ``new``."""
    if isinstance(value, Mapping):
        return {key: _moved(child, old, new) for key, child in value.items()}
    if isinstance(value, list):
        return [_moved(child, old, new) for child in value]
    if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
        return new + value[len(old) :]
    return value


def is_generated(path: Path) -> bool:
    """Return whether a file is an expansion that nobody has edited."""
    header, _, body = path.read_text(encoding="utf-8").partition("\n")
    return header.startswith("# generated from ") and header.endswith(f"sha256 {_digest(body)}")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _shortest(path: Path) -> Path:
    here = Path.cwd().resolve()
    path = path.resolve()
    return path.relative_to(here) if path.is_relative_to(here) else path
