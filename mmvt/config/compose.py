"""Composes a task configuration: includes, trust, overrides, interpolation. Pure functions.

Trust: only the file named on the command line is trusted. What it includes is not: there,
``plugins:`` and ``${oc.env:…}`` are errors, lifted by ``trust_code``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmvt.config.merge import Keys, Layer, merge
from mmvt.config.yaml_file import YamlFile, read_yaml
from mmvt.errors import ConfigError, did_you_mean

TEMPLATES = Path(__file__).resolve().parents[2] / "projects"
_REFERENCE = re.compile(r"\$\{[\w.\[\]-]+\}")
_ENVIRONMENT = re.compile(r"\$\{oc\.env:\w+(,[^${}]*)?\}")


def root_of(path: Path, project_dir: str | None = None) -> Path:
    """Return the folder that the paths of a YAML may not leave.

    It is the nearest folder above named ``projects``; else the folder of the YAML, or of the
    project that ``path`` was expanded from.
    """
    folder = path.resolve().parent
    for parent in (folder, *folder.parents):
        if parent.name == "projects":
            return parent
    parts = Path(project_dir).parts if project_dir else ()
    if parts and folder.parts[-len(parts) :] == parts:
        return folder.parents[len(parts) - 1]
    return folder


def compose(path: Path, *, trust_code: bool = False) -> Layer:
    """Return a YAML file laid over the files it includes, interpolations unresolved.

    Args:
        path: the file named on the command line.
        trust_code: trust the included files as well.

    Raises:
        ConfigError: a file is missing or malformed, includes form a cycle or leave the roots, or
            an untrusted file asks for code or for the environment.
    """
    roots = [root_of(path), Path.cwd().resolve(), TEMPLATES]
    return _compose(path, roots, trusted=True, trust_code=trust_code, above=[])


def compose_template(path: Path, beside: Path, *, trust_code: bool = False) -> Layer:
    """Return a template composed on behalf of the project file ``beside``; it is not trusted."""
    roots = [root_of(beside), Path.cwd().resolve(), TEMPLATES]
    return _compose(path, roots, trusted=trust_code, trust_code=trust_code, above=[])


def _compose(
    path: Path, roots: list[Path], *, trusted: bool, trust_code: bool, above: list[Path]
) -> Layer:
    if path.resolve() in above:
        names = " → ".join(_shown(p) for p in (*above, path.resolve()))
        raise ConfigError(f"{path}: includes form a cycle: {names}")
    source = read_yaml(path)
    problems = list(_untrusted_problems(source, trusted=trusted))
    if problems:
        raise ConfigError(problems)
    below = Layer()
    for name in _includes(source):
        included = _find_include(name, source, roots)
        layer = _compose(
            included,
            roots,
            trusted=trust_code,
            trust_code=trust_code,
            above=[*above, path.resolve()],
        )
        below = merge(below, layer)
    return merge(below, Layer(source.data, source.lines)).without("includes")


def _includes(source: YamlFile) -> list[str]:
    value = source.data.get("includes") or []
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{source.lines[('includes',)]}: includes takes a path or a list of paths")
    return names


def _find_include(name: str, source: YamlFile, roots: list[Path]) -> Path:
    where = source.lines[("includes",)]
    candidates = [source.path.parent / name, Path(name), TEMPLATES / name.removeprefix("projects/")]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        siblings = {p.name for folder in candidates for p in folder.parent.glob("*.yaml")}
        hint = did_you_mean(Path(name).name, siblings)
        raise ConfigError(f"{where}: included file {name} does not exist{hint}")
    if not any(found.resolve().is_relative_to(root) for root in roots):
        raise ConfigError(f"{where}: included file {name} lies outside of {_shown(roots[0])}")
    return found


def _untrusted_problems(source: YamlFile, *, trusted: bool) -> Iterator[str]:
    if "plugins" in source.data and not trusted:
        yield (
            f"{source.lines[('plugins',)]}: plugins are imported only for the file named on the "
            "command line; move the key there or add --trust-code"
        )
    for keys, text in _strings(source.data):
        where = f"{source.lines.get(keys, source.path)}: {'.'.join(keys)}"
        rest = _REFERENCE.sub("", text)
        if "${" in _ENVIRONMENT.sub("", rest):
            yield f"{where}: {text!r}: only ${{key}} and ${{oc.env:NAME}} are interpolated"
        elif "${" in rest and not trusted:
            yield (
                f"{where}: the environment is read only for the file named on the command line; "
                "move the key there or add --trust-code"
            )


def _strings(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, str]]:
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _strings(child, (*keys, key))
    elif isinstance(value, list):
        for child in value:
            yield from _strings(child, keys)


def resolve(layer: Layer) -> Layer:
    """Return the layer with its interpolations replaced by their values.

    Raises:
        ConfigError: a reference leads nowhere, or an environment variable is not set.
    """
    try:
        data = OmegaConf.to_container(OmegaConf.create(layer.data), resolve=True)
    except OmegaConfBaseException as error:
        key = tuple(str(error.full_key or "").split("."))
        where = layer.origins.get(key, "")
        message = str(error.msg or error).splitlines()[0]
        raise ConfigError(f"{where}: {'.'.join(key)}: {message}".lstrip(": ")) from error
    if not isinstance(data, dict):
        raise ConfigError("a configuration holds keys and values")
    return Layer({str(key): value for key, value in data.items()}, layer.origins)


def _shown(path: Path) -> str:
    """Return a path as short as it can be said: below the working directory, else whole."""
    here = Path.cwd().resolve()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
