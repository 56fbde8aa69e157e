"""Binds a configuration to constructors before anything is built: names, types, claims.

A plan is a class and the values of its constructor. Values come from the plugin's own mapping
(long form), else from a shared section (short form), else from a default; those that only exist
later (``split``, ``seed``, ``hidden_size``, ``transform``) come from the context given to
:meth:`Plan.build`.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin

from mmvt.config.fields import REQUIRED, Field, convert, describe_type, fields_of
from mmvt.config.merge import Keys, Layer, value_at
from mmvt.config.yaml_file import UNKNOWN
from mmvt.errors import PluginError, did_you_mean, nearest
from mmvt.plugins import Plugins

CONTEXT = ("split", "seed", "hidden_size", "transform")


@dataclass
class Plan:
    """A class and the values to construct it with; values may be plans themselves."""

    cls: type
    values: dict[str, Any] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)

    def build(self, **context: Any) -> Any:
        """Return the constructed object; ``context`` gives what the configuration cannot."""
        arguments = {
            name: value.build(**context) if isinstance(value, Plan) else value
            for name, value in self.values.items()
        }
        arguments |= {name: context[name] for name in self.waiting if name in context}
        return self.cls(**arguments)


class Planner:
    """Makes plans of the slots of one configuration and collects everything that is wrong.

    Args:
        layer: the composed and resolved configuration.
        plugins: where plugin names are looked up.
        defaults: plugin names of slots that the configuration leaves open, such as ``layout``, or
            gives only fields of; None for a slot that cannot be told, and is no problem.
        written: the configuration before it was resolved; messages quote it, not the environment.
        some_plugins: part of the plugins could not be imported: a name that is like no other is no
            problem.

    Attributes:
        problems: everything that is wrong, each with file and line.
    """

    def __init__(
        self,
        layer: Layer,
        plugins: Plugins,
        defaults: Mapping[str, str | None] | None = None,
        *,
        written: Layer | None = None,
        some_plugins: bool = False,
    ) -> None:
        self.layer, self.plugins = layer, plugins
        self.written = layer if written is None else written
        self.defaults = dict(defaults or {})
        self.problems: list[str] = []
        self.claimed: set[Keys] = set()
        self.known: dict[Keys, set[str]] = {}
        self.some_plugins = some_plugins
        # whether every key that is not claimed is one that no plugin would take
        self.knows_all = not (layer.partial or some_plugins)

    def slot(self, kind: str, keys: Keys, shared: Keys | None = ("dataset",)) -> Plan | None:
        """Return the plan of the plugin named at ``keys``, or None if it cannot be planned.

        Args:
            kind: the kind of plugin.
            keys: where the configuration names it, in short or in long form.
            shared: the section whose flat fields it may use.
        """
        value = self.value(keys)
        if value is None and keys[-1] in self.defaults:
            value = self.defaults[keys[-1]]
            if value is None:
                return None
        choices = f"name one of {', '.join(self.plugins.registries[kind].names())}"
        if value is None:
            self._missing(keys, choices)
            return None
        self.claimed.add(keys)
        name = value.get("name") if isinstance(value, Mapping) else value
        if isinstance(value, Mapping):
            self.claimed.add((*keys, "name"))
            self.known.setdefault(keys, set()).add("name")
            name = self.defaults.get(keys[-1]) if name is None else name
        if not isinstance(name, str):
            if name is None and keys[-1] not in self.defaults:
                self._missing((*keys, "name"), choices)
            elif name not in (None, UNKNOWN):  # a default that cannot be told is no problem
                self.problem(keys, f"must name {choices.removeprefix('name ')}, not {name!r}")
            self.knows_all = False
            return None
        return self._planned(kind, name, keys, shared)

    def _planned(self, kind: str, name: str, keys: Keys, shared: Keys | None) -> Plan | None:
        near = nearest(name, self.plugins.registries[kind].names())
        try:
            return self.bind(self.plugins.get(kind, name), keys, shared)
        except PluginError as error:
            if near or not self.some_plugins:
                self.problem(keys, str(error), between=": ")
        if near is None or near == name:
            self.knows_all = False
        else:
            # go on with the plugin that was probably meant: its keys are no further problem
            self._planned(kind, near, keys, shared)
        return None

    def section(self, cls: type, keys: Keys) -> Plan | None:
        """Return the plan of a class whose fields are a section of their own, or None."""
        self.mapping(keys)
        value = self.value(keys)
        return self.bind(cls, keys) if value is None or isinstance(value, Mapping) else None

    def mapping(self, keys: Keys) -> Mapping[str, Any]:
        """Return the mapping at ``keys``, which may be absent, or an empty one."""
        value = self.value(keys)
        if value is None or value is UNKNOWN or isinstance(value, Mapping):
            return value if isinstance(value, Mapping) else {}
        self.problem(keys, f"must hold keys and values, not {value!r}")
        return {}

    def bind(self, cls: type, keys: Keys, shared: Keys | None = None) -> Plan:
        """Return the plan of a class whose own fields stand under ``keys``.

        Raises:
            PluginError: the constructor of the class is no schema.
        """
        plan = Plan(cls)
        scopes = [keys] if isinstance(self.value(keys), Mapping) else []
        if shared is not None and shared != keys:
            scopes.append(shared)
        for item in fields_of(cls):
            for scope in scopes:
                self.known.setdefault(scope, set()).add(item.name)
            self._bind_field(plan, item, scopes, keys, shared)
        return plan

    def _bind_field(
        self, plan: Plan, item: Field, scopes: list[Keys], keys: Keys, shared: Keys | None
    ) -> None:
        found = next((s for s in scopes if self.value((*s, item.name)) is not None), None)
        place = (*(found or (scopes[-1] if scopes else keys)), item.name)
        kind = self._plugin_kind(item.annotation)
        if kind is not None and (found or item.name in self.defaults or item.default is REQUIRED):
            nested = self.slot(kind, place, shared or keys)
            if nested is not None:
                plan.values[item.name] = nested
        elif found is not None:
            self.claimed.add(place)
            self._convert(plan, item, place)
        elif item.name in CONTEXT:
            plan.waiting.append(item.name)
        elif item.default is REQUIRED:
            self._missing(place, f"{plan.cls.__name__} needs it: {item.doc}".rstrip(": "))

    def _missing(self, keys: Keys, why: str) -> None:
        start = f"{self.layer.where(keys)}: {'.'.join(keys)} is missing"
        section = self.value(keys[:-1])
        if self.layer.partial or not (section is None or isinstance(section, Mapping)):
            return
        # a key that two plugins miss is one problem
        if not any(problem.startswith(start) for problem in self.problems):
            self.problem(keys, f"is missing; {why}")

    def _convert(self, plan: Plan, item: Field, keys: Keys) -> None:
        value, written = self.value(keys), value_at(self.written.data, keys)
        if value is UNKNOWN:
            return
        try:
            plan.values[item.name] = convert(value, item.annotation)
        except TypeError as error:
            given = f"but {written!r} gives {type(value).__name__}"
            wanted = f"must be {describe_type(item.annotation)}, {given}"
            self.problem(keys, str(error) if written == value else wanted)

    def _plugin_kind(self, annotation: Any) -> str | None:
        members = (
            get_args(annotation)
            if get_origin(annotation) in (Union, types.UnionType)
            else (annotation,)
        )
        return next((kind for m in members if (kind := self.plugins.kind_of(m))), None)

    def value(self, keys: Keys) -> Any:
        """Return the configured value at ``keys``, or None."""
        return value_at(self.layer.data, keys)

    def problem(self, keys: Keys, message: str, between: str = " ") -> None:
        """Record one problem once, with the file and line of the nearest key there is."""
        problem = f"{self.layer.where(keys)}: {'.'.join(keys)}{between}{message}"
        if problem not in self.problems:
            self.problems.append(problem)

    def report_unclaimed(
        self,
        sections: Collection[str],
        passed_through: Collection[str],
        may_be_unused: Collection[Keys] = (),
    ) -> list[str]:
        """Record every key that no plugin took; return a note on each that may be so.

        Args:
            sections: the top-level keys whose content plugins take.
            passed_through: those whose content is somebody else's to check.
            may_be_unused: keys that are no problem.
        """
        for key in self.layer.data:
            if key not in sections and key not in passed_through:
                self._unclaimed((key,), (*sections, *passed_through))
        unclaimed = [path for key in sections for path in self._unclaimed_in((key,))]
        for path in unclaimed:
            if path not in may_be_unused:
                self._unclaimed(path, self.known.get(path[:-1], ()))
        return [
            f"{self.layer.where(path)}: {'.'.join(path)} is left out: no chosen part uses it"
            for path in unclaimed
            if path in may_be_unused
        ]

    def _unclaimed_in(self, keys: Keys) -> Iterator[Keys]:
        value = self.value(keys)
        if not isinstance(value, Mapping) or (keys in self.claimed and keys not in self.known):
            return
        for key in value:
            path = (*keys, key)
            if path in self.claimed or path in self.known:
                yield from self._unclaimed_in(path)
            else:
                yield path

    def _unclaimed(self, keys: Keys, choices: Collection[str]) -> None:
        hint = did_you_mean(keys[-1], choices, quote="'")
        if keys[-1] in choices:
            self.problem(keys, "is not used; the plugins that take it have a value of their own")
        # with a plugin unknown, a key it may have claimed is no second problem
        elif hint or self.knows_all:
            section = len(keys) == 1
            what = "is no section" if section else "is used by no plugin"
            self.problem(keys, what + (hint or ("" if section else "; null unsets it")))
