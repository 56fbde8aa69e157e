"""Composes a configuration: includes, trust, interpolation. Nothing is imported or written.

Trust: only the file named on the command line is trusted. What it includes is not: there,
``plugins:`` and ``${oc.env:NAME}`` are errors, lifted by ``trust_code``.

What is wrong ends up in :attr:`Layer.problems`, so that one report can hold it all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmvt.config.merge import Keys, Layer, merge, plugin_paths, walk
from mmvt.config.translation import translated
from mmvt.config.yaml_file import UNKNOWN, Unknown, YamlFile, did_you_mean_file, read_yaml
from mmvt.errors import ConfigError
from mmvt.redaction import holds_secret, without_secrets

# package data; in a checkout a link to projects/
TEMPLATES = Path(__file__).resolve().parents[1] / "projects"
MAX_LOOKUPS = 1000
_REFERENCE = re.compile(r"\$\{([\w-]+(?:\.[\w-]+)*)\}")
_INTERPOLATION = re.compile(_REFERENCE.pattern + r"|\$\{oc\.env:(\w+)(?:,([^${}]*))?\}")


def root_of(path: Path, project_dir: object = None) -> Path:
    """Return the folder that the files named in a YAML may not leave.

    It is the nearest folder named ``projects`` above the YAML, unless the working directory lies
    deeper inside it; else the folder of the YAML, or of the project it was expanded from.

    Args:
        path: the YAML.
        project_dir: its key of that name, which an expansion has.
    """
    folder = path.resolve().parent
    here = Path.cwd().resolve()
    for parent in (folder, *folder.parents):
        if parent.name == "projects" and parent not in here.parents:
            return parent
    parts = Path(project_dir).parts if isinstance(project_dir, str) else ()
    if parts and folder.parts[-len(parts) :] == parts:
        return folder.parents[len(parts) - 1]
    return folder


def compose(path: Path, *, trust_code: bool = False) -> Layer:
    """Return a YAML file laid over the files it includes; nulls and ``${…}`` are left as they are.

    What is written for the original toolkit is translated (:mod:`mmvt.config.translation`).

    Args:
        path: the file named on the command line.
        trust_code: trust the included files as well.

    Raises:
        ConfigError: the file itself is missing or no YAML. Every other problem is in the layer: an
            include is missing, malformed, in a cycle or outside of the roots, or an untrusted file
            asks for code or for the environment.
    """
    return translated(_Composer(root_of(path), trust_code).compose(path, trusted=True))


def compose_template(path: Path, beside: Path, *, trust_code: bool = False) -> Layer:
    """Return a template composed on behalf of the project file ``beside``; it is not trusted.

    Raises:
        ConfigError: as :func:`compose`.
    """
    return translated(_Composer(root_of(beside), trust_code).compose(path, trusted=trust_code))


class _Composer:
    def __init__(self, root: Path, trust_code: bool) -> None:
        self.roots = [root, Path.cwd().resolve(), TEMPLATES.resolve()]
        self.trust_code = trust_code
        self.done: dict[Path, Layer] = {}

    def compose(self, path: Path, *, trusted: bool, above: tuple[Path, ...] = ()) -> Layer:
        """Return a file over those it includes; ``above`` are those that led to it."""
        source = read_yaml(path)
        layer = Layer({}, {(): str(path), **source.lines}, list(source.problems))
        layer.data = source.data if trusted else _screened(source.data, layer)
        if layer.data.get("plugins") is not None:
            # kept as it is where malformed: that is reported with the other keys
            paths = plugin_paths(layer.data["plugins"], path.parent)
            layer.data = layer.data | {"plugins": paths or layer.data["plugins"]}
        below = Layer()
        for name in _includes(source, layer):
            below = merge(below, self.included(name, source, (*above, path.resolve())))
        return merge(below, layer.without("includes"))

    def included(self, name: str, source: YamlFile, above: tuple[Path, ...]) -> Layer:
        """Return the layer of an include of ``source``, or what is wrong with it."""
        where = source.lines[("includes",)]
        try:
            path = self.find(name, source, where)
            resolved = path.resolve()
            if resolved in above:
                cycle = (*above[above.index(resolved) :], resolved)
                names = " → ".join(str(shortest(step)) for step in cycle)
                raise ConfigError(f"{where}: includes form a cycle: {names}")
            if resolved not in self.done:
                self.done[resolved] = self.compose(path, trusted=self.trust_code, above=above)
            return self.done[resolved]
        except ConfigError as error:
            return Layer(problems=error.problems, partial=True)

    def find(self, name: str, source: YamlFile, where: str) -> Path:
        """Return the file that ``source`` includes as ``name``."""
        packaged = TEMPLATES / name.removeprefix("projects/")
        beside = Path(os.path.normpath(source.path.parent / name))
        candidates = [beside, Path(name), packaged]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            hint = did_you_mean_file(name, [place.parent for place in candidates])
            raise ConfigError(f"{where}: the included file {name} does not exist{hint}")
        if not any(found.resolve().is_relative_to(root) for root in self.roots):
            raise ConfigError(
                f"{where}: the included file {name} lies outside of {shortest(self.roots[0])}"
            )
        return found


def _includes(source: YamlFile, layer: Layer) -> list[str]:
    value = source.data.get("includes") or []
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list) and all(
        isinstance(name, str) and name.isprintable() for name in names
    ):
        return names
    where = source.lines[("includes",)]
    layer.problems.append(f"{where}: includes must be a path or a list of paths, not {value!r}")
    return []


def _screened(data: dict[str, Any], layer: Layer) -> dict[str, Any]:
    """Return the data of an untrusted file without what only a trusted one may hold."""
    if data.get("plugins") is not None:
        data = data | {"plugins": UNKNOWN}
        layer.problems.append(
            f"{layer.where(('plugins',))}: plugins are imported only for the file named on the "
            "command line; move the key there, or add --trust-code"
        )
    return {key: _screen(value, (key,), layer) for key, value in data.items()}


def _screen(value: Any, keys: Keys, layer: Layer) -> Any:
    if isinstance(value, Mapping):
        return {key: _screen(child, (*keys, key), layer) for key, child in value.items()}
    if isinstance(value, list):
        screened = [_screen(child, keys, layer) for child in value]
        return UNKNOWN if UNKNOWN in screened else screened
    if isinstance(value, str) and "${" in _REFERENCE.sub("", value):
        layer.problems.append(
            f"{layer.where(keys)}: {'.'.join(keys)}: only the file named on the command line may "
            f"read the environment, as {value!r} would; move the key there, or add --trust-code"
        )
        return UNKNOWN
    return value


def finished(layer: Layer, path: Path, *, trust_code: bool = False) -> Layer:
    """Return the configuration of a task: nulls have had their effect, plugin files are checked.

    Values that are secrets of the environment are references to it, so that none is saved.

    Args:
        layer: everything merged.
        path: the file named on the command line.
        trust_code: allow plugin files outside of its root.
    """
    layer = layer.settled()
    layer = replace(
        layer,
        data=without_secrets(layer.data),
        problems=list(dict.fromkeys([*layer.problems, *_secret_problems(layer)])),
    )
    names = layer.data.get("plugins")
    if names is None or names is UNKNOWN:
        return layer
    where = layer.where(("plugins",))
    root = root_of(path, layer.data.get("project_dir"))
    # a command line is read from the working directory
    files = plugin_paths(names, Path.cwd())
    if files is None:
        problems = [f"{where}: plugins must be a list of Python files, not {names!r}"]
    else:
        problems = [
            f"{where}: the plugin file {file} lies outside of {root}; move it there, or add "
            "--trust-code"
            for file in files
            if not (trust_code or Path(file).is_relative_to(root))
        ]
    data = layer.data | {"plugins": UNKNOWN if problems else files}
    return replace(layer, data=data, problems=[*layer.problems, *problems])


def _secret_problems(layer: Layer) -> Iterator[str]:
    """Yield a problem for every secret that is written out."""
    for keys, value in walk(layer.data):
        if holds_secret(keys[-1], value):
            yield (
                f"{layer.where(keys)}: {'.'.join(keys)}: a secret would stand in saved files and "
                "logs; set an environment variable, and write ${oc.env:NAME}"
            )


def resolve(layer: Layer) -> Layer:
    """Return the layer with ``${key.sub}`` and ``${oc.env:NAME}`` replaced by what they stand for.

    A value that is a reference and nothing else keeps its type. Values that cannot be resolved
    become ``UNKNOWN`` and are reported in ``problems``.
    """
    resolver = _Resolver(layer)
    data = resolver.every(layer.data, ())
    return replace(layer, data=data, problems=[*layer.problems, *resolver.problems])


class _Resolver:
    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.problems: list[str] = []
        self.lookups = 0

    def every(self, value: Any, keys: Keys) -> Any:
        """Return a value with everything in it resolved, noting each problem at its own key."""
        if isinstance(value, Mapping):
            return {key: self.every(child, (*keys, key)) for key, child in value.items()}
        try:
            return self.resolved(value, ())
        except ConfigError as error:
            self.problems.append(f"{self.layer.where(keys)}: {'.'.join(keys)}: {error}")
            return UNKNOWN

    def resolved(self, value: Any, seen: tuple[str, ...]) -> Any:
        """Return a value with everything in it resolved; ``seen`` are the references to it."""
        if isinstance(value, Mapping):
            return {key: self.resolved(child, seen) for key, child in value.items()}
        if isinstance(value, list):
            return [self.resolved(child, seen) for child in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        if reference := _REFERENCE.fullmatch(value):
            return self.look_up(reference[1], seen)
        text = _INTERPOLATION.sub(lambda match: self.text(match, seen), value)
        if "${" in text:
            raise ConfigError(
                f"{value!r}: only ${{key.sub}} and ${{oc.env:NAME}} can be interpolated"
            )
        return text

    def text(self, match: re.Match[str], seen: tuple[str, ...]) -> str:
        """Return what stands in place of one interpolation within text."""
        name, variable, default = match.groups()
        if variable is None:
            value = self.look_up(name, seen)
        else:
            value = os.environ.get(variable, default)
            if value is None:
                raise ConfigError(f"the environment variable {variable} is not set")
        if isinstance(value, (Mapping, list, Unknown)):
            raise ConfigError(f"{match[0]} is no text but a {type(value).__name__}")
        return str(value).lower() if isinstance(value, bool) else str(value)

    def look_up(self, name: str, seen: tuple[str, ...]) -> Any:
        """Return the resolved value of the key ``name``."""
        self.lookups += 1
        if name in seen:
            raise ConfigError(f"references form a cycle: {' → '.join((*seen, name))}")
        if self.lookups > MAX_LOOKUPS:
            raise ConfigError(f"more than {MAX_LOOKUPS} references")
        value: Any = self.layer.data
        for key in name.split("."):
            if not isinstance(value, Mapping) or key not in value:
                raise ConfigError(f"${{{name}}} leads nowhere")
            value = value[key]
        return self.resolved(value, (*seen, name))


def shortest(path: Path) -> Path:
    """Return a path relative to the working directory where it lies below that, else whole."""
    here = Path.cwd().resolve()
    path = path.resolve()
    return path.relative_to(here) if path.is_relative_to(here) else path
