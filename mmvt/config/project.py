"""Expands a project YAML over task templates: one file in, one configuration a task out.

``task_group`` stamps overrides on templates of ``base_dir``; keys beside it apply to every task.
A YAML without ``task_group`` is a task itself. Expanding is pure; the launcher writes the files.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmvt.config.compose import TEMPLATES, compose, compose_template, finished, root_of, shortest
from mmvt.config.merge import Layer, merge, read_overrides, to_yaml, value_at
from mmvt.config.translation import MARK, translated
from mmvt.config.yaml_file import did_you_mean_file
from mmvt.errors import ConfigError, did_you_mean
from mmvt.files import atomic_write_text
from mmvt.redaction import redacted

PROJECT_KEYS = ("project_dir", "base_dir", "run_task", "task_group")
TEST_GROUP = "test"
_FOLDERS = {
    "project_dir": "the folder of the expansions and of the runs",
    "base_dir": "the folder of the task templates",
}
_HEADER = "# generated from {source}; edit that, not this; sha256 {digest}\n"
_GENERATED = b"# generated from "


@dataclass(frozen=True)
class TaskFile:
    """One task of a project.

    Attributes:
        name: name of its template, such as ``videoclip.yaml``.
        path: the YAML that a job runs.
        layer: its configuration, interpolations unresolved.
        source: the project it was expanded from; None for a YAML that is a task itself.
        group: its group in the project; the tasks of the group ``test`` are evaluated only.
        overrides: command-line overrides that ``path`` does not hold.
    """

    name: str
    path: Path
    layer: Layer
    source: Path | None = None
    group: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The content of an expansion, with its header."""
        data = self.layer.data
        if "plugins" in data:
            folder = self.path.resolve().parent
            data = data | {"plugins": [os.path.relpath(file, folder) for file in data["plugins"]]}
        return _generated(to_yaml(data), str(self.source))

    def check_writable(self, *, force: bool = False) -> None:
        """Raise if the expansion would replace what somebody wrote, unless ``force`` is set.

        Raises:
            ConfigError: the file was edited, or was never generated; or the layer has problems.
        """
        if self.layer.problems:
            raise ConfigError(self.layer.problems)
        if self.source and not force and self.path.exists() and not self._is_safe():
            raise ConfigError(
                f"{self.path}: was edited or written by hand; rename it, or add --force to have it "
                f"overwritten from {self.source}"
            )

    def write(self, *, force: bool = False) -> None:
        """Write the expansion, and have git ignore it; a YAML that is a task itself is left alone.

        So is a file that somebody wrote and that says the same, such as an expansion that was
        committed with a project for the original toolkit.

        Raises:
            ConfigError: as :meth:`check_writable`.
        """
        self.check_writable(force=force)
        if self.source is not None and (force or not self.says_the_same()):
            _write_if_changed(self.path, self.text)
            _ignore(self.path)

    def _is_safe(self) -> bool:
        return is_generated(self.path) or self.says_the_same()

    def says_the_same(self) -> bool:
        """Return whether there is a file of the same content that the launcher never wrote."""
        if not self.path.exists() or self.path.read_bytes().startswith(_GENERATED):
            return False
        try:
            there = compose_template(self.path, self.path)
        except ConfigError:
            return False
        there = finished(there, self.path).without("project_dir", MARK)
        return not there.problems and there.data == self.layer.without("project_dir", MARK).data


@dataclass(frozen=True)
class Project:
    """The tasks of a project.

    Attributes:
        tasks: every task by name.
        steps: names of the tasks to run, one step after the other, those of a step in parallel.
        notes: what of a project for the original toolkit has no meaning here, and why.
    """

    tasks: Mapping[str, TaskFile]
    steps: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)

    def test_steps(self) -> Sequence[Sequence[str]]:
        """Return the steps of an evaluation job: the group ``test``, or what there is to run."""
        tests = [[name] for name, task in self.tasks.items() if task.group == TEST_GROUP]
        return tests or self.steps


def load_project(path: Path, overrides: Sequence[str] = (), *, trust_code: bool = False) -> Project:
    """Return the expanded tasks of a project YAML, or the one task that it is.

    Args:
        path: a project, or a task; also an expansion that was not written yet.
        overrides: ``key.sub=value``; a key of the project changes the project, every other key
            changes each of its tasks and has the last word.
        trust_code: trust included files and templates (see :mod:`mmvt.config.compose`).

    Raises:
        ConfigError: the project cannot be expanded. What is wrong within a task is in the problems
            of its layer, for :meth:`mmvt.config.recipe.Recipe.from_layer` to report.
    """
    overrides = [redacted(override) for override in overrides]  # some are words of commands
    if source := project_of(path):
        task = _one_task(load_project(source, overrides, trust_code=trust_code), source, path)
        return Project({path.name: task}, [[path.name]])
    layer = compose(path, trust_code=trust_code)
    over = translated(read_overrides(overrides))
    if layer.data.get("task_group") is None:
        layer = finished(merge(layer, over), path, trust_code=trust_code)
        task = TaskFile(path.name, path, layer, overrides=tuple(overrides))
        return Project({path.name: task}, [[path.name]])
    layer = merge(layer, over.only(*PROJECT_KEYS))
    over = over.without(*PROJECT_KEYS)
    tasks: dict[str, TaskFile] = {}
    for group, names in _task_lists(layer.only(*PROJECT_KEYS).settled()).items():
        for name in names:
            tasks[name] = _expand(path, layer, over, group, name, trust_code)
    steps, notes = _steps(layer, tasks)
    return Project(tasks, steps, notes)


def load_task(path: Path, overrides: Sequence[str] = (), *, trust_code: bool = False) -> Layer:
    """Return the configuration of one task; an expansion not written yet is made in memory.

    Its project is looked for beside its folder, then among those that come with mmvt.

    Args:
        path: a task.
        overrides: ``key.sub=value``.
        trust_code: as :func:`load_project` takes it.

    Raises:
        ConfigError: as :func:`load_project`; or the file is missing, and no project has that task.
    """
    source = project_of(path) or project_of(TEMPLATES / path.as_posix().removeprefix("projects/"))
    if source is None or path.exists():
        layer = merge(compose(path, trust_code=trust_code), translated(read_overrides(overrides)))
        return finished(layer, path, trust_code=trust_code)
    return _one_task(load_project(source, overrides, trust_code=trust_code), source, path).layer


def project_of(path: Path) -> Path | None:
    """Return the project YAML of an expansion that was not written yet, if there is one.

    The expansions of ``projects/retri/videoclip.yaml`` are in ``projects/retri/videoclip``.
    """
    source = path.parent.with_name(f"{path.parent.name}.yaml") if path.parent.name else path
    return source if source.is_file() and not path.exists() else None


def _one_task(project: Project, source: Path, path: Path) -> TaskFile:
    if path.name not in project.tasks:
        hint = did_you_mean(path.name, project.tasks)
        raise ConfigError(f"{path}: does not exist, and {source} has no such task{hint}")
    return project.tasks[path.name]


def _task_lists(layer: Layer) -> dict[str, list[str]]:
    """Return the names of the tasks of each group.

    Raises:
        ConfigError: a key of the project is missing or malformed, or a task is listed twice.
    """
    problems = list(_folder_problems(layer))
    groups = layer.data["task_group"]
    if not isinstance(groups, Mapping):
        problems.append(f"{layer.where(('task_group',))}: task_group must hold groups of tasks")
        groups = {}
    lists: dict[str, list[str]] = {}
    seen: set[str] = set()
    for group, content in groups.items():
        where = f"{layer.where(('task_group', group, 'task_list'))}: task_group.{group}.task_list"
        names = value_at(content, ("task_list",))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            problems.append(f"{where} must be a list of task files")
            continue
        problems += [f"{where}: {n} is listed twice" for i, n in enumerate(names) if n in names[:i]]
        problems += [f"{where}: {n} is in another group already" for n in {*names} & seen]
        seen.update(names)
        lists[group] = names
    if problems or not all(key in layer.data for key in _FOLDERS):
        raise ConfigError([*layer.problems, *problems])
    return lists


def _folder_problems(layer: Layer) -> Iterator[str]:
    for key, about in _FOLDERS.items():
        value = layer.data.get(key)
        # a broken include may have held a missing key
        if value is None and not layer.partial:
            yield f"{layer.where((key,))}: {key} is missing; it names {about}"
        elif value is not None and (not isinstance(value, str) or "${" in value):
            yield f"{layer.where((key,))}: {key} must be plain text, not {value!r}"


def _expand(
    path: Path, project: Layer, over: Layer, group: str, name: str, trust_code: bool
) -> TaskFile:
    base_dir, project_dir = project.data["base_dir"], project.data["project_dir"]
    root = root_of(path)
    target = root / project_dir / name
    layer = Layer(partial=True)
    try:
        template = _find_template(
            root, base_dir, name, project.where(("task_group", group, "task_list"))
        )
        if target.resolve() in (template.resolve(), path.resolve()):
            raise ConfigError(
                f"{project.where(('project_dir',))}: expanding {name} would replace "
                f"{shortest(target)}; project_dir must be a folder of its own"
            )
        layer = compose_template(template, path, trust_code=trust_code)
    except ConfigError as error:
        layer.problems += error.problems
    if not target.resolve().is_relative_to(root):
        layer.problems.append(
            f"{project.where(('project_dir',))}: {project_dir}/{name} lies outside of {root}"
        )
    layer.data = _moved(layer.data, f"runs/{base_dir}", f"runs/{project_dir}")
    layer = merge(layer, project.without(*PROJECT_KEYS))
    layer = merge(layer, project.under("task_group", group).without("task_list"))
    layer = merge(layer, over)
    layer.data = {"project_dir": project_dir, **layer.data}
    layer = finished(layer, path, trust_code=trust_code)
    return TaskFile(name, shortest(target), layer, source=shortest(path), group=group)


def _find_template(root: Path, base_dir: str, name: str, where: str) -> Path:
    roots = [root, Path("projects").resolve(), TEMPLATES.resolve()]
    folders = [place / base_dir for place in roots]
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if found is None:
        known = sorted({path.name for folder in folders for path in folder.glob("*.yaml")})
        there = f" (there are {', '.join(known) or 'none'})"
        hint = did_you_mean_file(name, folders) or there
        raise ConfigError(f"{where}: there is no task template {base_dir}/{name}{hint}")
    if not any(found.resolve().is_relative_to(place) for place in roots):
        raise ConfigError(f"{where}: the task template {base_dir}/{name} lies outside of {root}")
    return shortest(found)


def _steps(layer: Layer, tasks: Mapping[str, TaskFile]) -> tuple[list[list[str]], list[str]]:
    """Return the names of the tasks of each step, and notes on those that are left out.

    The original's projects may name tasks that they do not have.

    Raises:
        ConfigError: ``run_task`` is no list, or names a task that is not there.
    """
    value = layer.data.get("run_task")
    if value is None:
        return [[name] for name, task in tasks.items() if task.group != TEST_GROUP], []
    where = layer.where(("run_task",))
    if not isinstance(value, list):
        raise ConfigError([*layer.problems, f"{where}: run_task must be a list of tasks"])
    steps = [step if isinstance(step, list) else [step] for step in value]
    problems = [
        f"{where}: run_task: {name!r} is in no task_list{did_you_mean(str(name), tasks)}"
        for step in steps
        for name in step
        if not isinstance(name, str) or name not in tasks
    ]
    if not problems:
        return steps, []
    if layer.data.get(MARK) is not True:
        raise ConfigError([*layer.problems, *problems])
    there = [[name for name in step if name in tasks] for step in steps]
    return [step for step in there if step], [f"{problem}; it is left out" for problem in problems]


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
    """Return whether a file is one that the launcher wrote and nobody has edited."""
    header, _, body = path.read_bytes().partition(b"\n")
    digest = hashlib.sha256(body).hexdigest()
    return header.startswith(_GENERATED) and header.endswith(f" {digest}".encode())


def _generated(body: str, source: str) -> str:
    digest = hashlib.sha256(body.encode()).hexdigest()
    # one line, whatever the path holds
    return _HEADER.format(source=" ".join(source.split()), digest=digest) + body


def _ignore(expansion: Path) -> None:
    """Name an expansion in a .gitignore beside it, unless that is somebody's own."""
    path = expansion.with_name(".gitignore")
    names = {"/.gitignore", "/" + re.sub(r"([\\*?\[ ])", r"\\\1", expansion.name)}
    if path.exists():
        if not is_generated(path):
            return
        names.update(path.read_text(encoding="utf-8").splitlines()[1:])
    body = "".join(f"{name}\n" for name in sorted(names))
    _write_if_changed(path, _generated(body, "the expansions beside it"))


def _write_if_changed(path: Path, text: str) -> None:
    if path.exists() and path.read_bytes() == text.encode():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, text)
