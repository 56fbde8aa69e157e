"""Binds a configuration to constructors before anything is built: names, types, claims.

A plan is a class and the values of its constructor. Values come from the plugin's own mapping
(long form), else from a shared section (short form), else from a default; those that only exist
later (``split``, ``seed``, ``hidden_size``) come from the context given to :meth:`Plan.build`.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin

from mmvt.config.fields import REQUIRED, Field, convert, fields_of
from mmvt.config.merge import Keys, Layer
from mmvt.errors import PluginError, did_you_mean, nearest
from mmvt.plugins import Plugins

CONTEXT = ("split", "seed", "hidden_size")


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
        defaults: plugin names of slots that the configuration leaves open, such as ``layout``.
    """

    def __init__(
        self, layer: Layer, plugins: Plugins, defaults: Mapping[str, str] | None = None
    ) -> None:
        self.layer, self.plugins = layer, plugins
        self.defaults = dict(defaults or {})
        self.problems: list[str] = []
        self.claimed: set[Keys] = set()
        self.known: dict[Keys, set[str]] = {}
        self.incomplete = False

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
            self.problem(keys, f"is missing: it names the {kind.replace('_', ' ')}")
            return None
        self.claimed.add(keys)
        own = value if isinstance(value, Mapping) else {"name": value}
        name = own.get("name")
        if not isinstance(name, str):
            self.problem(keys, f"must name a {kind.replace('_', ' ')}, not {name!r}")
            return None
        try:
            cls = self.plugins.get(kind, name)
        except PluginError as error:
            self.problem(keys, str(error))
            self._claim_for_misspelt(kind, name, keys, shared)
            return None
        if isinstance(value, Mapping):
            self.claimed.add((*keys, "name"))
            self.known.setdefault(keys, set()).add("name")
        return self.bind(cls, keys, shared)

    def _claim_for_misspelt(self, kind: str, name: str, keys: Keys, shared: Keys | None) -> None:
        """Claim the keys of the plugin that was probably meant: one slip is one problem."""
        near = nearest(name, self.plugins.registries[kind].names())
        if near is None:
            self.incomplete = True
            self.claimed |= {(*keys, key) for key in self.value(keys) or () if key != "name"}
        else:
            problems = list(self.problems)
            self.known.setdefault(keys, set()).add("name")
            self.bind(self.plugins.get(kind, near), keys, shared)
            self.problems = problems
        self.claimed.add((*keys, "name"))

    def bind(self, cls: type, keys: Keys, shared: Keys | None = None) -> Plan:
        """Return the plan of a class whose own fields stand under ``keys``."""
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
            try:
                plan.values[item.name] = convert(self.value(place), item.annotation)
            except TypeError as error:
                self.problem(place, str(error))
        elif item.name in CONTEXT:
            plan.waiting.append(item.name)
        elif item.default is REQUIRED:
            about = f": {item.doc}" if item.doc else ""
            self.problem(place, f"is missing; {plan.cls.__name__} needs it{about}")

    def _plugin_kind(self, annotation: Any) -> str | None:
        members = (
            get_args(annotation)
            if get_origin(annotation) in (Union, types.UnionType)
            else (annotation,)
        )
        return next((kind for m in members if (kind := self.plugins.kind_of(m))), None)

    def value(self, keys: Keys) -> Any:
        """Return the configured value at ``keys``, or None."""
        value: Any = self.layer.data
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                return None
            value = value[key]
        return value

    def problem(self, keys: Keys, message: str) -> None:
        """Record one problem, with the file and line of the nearest key that is written down."""
        self.problems.append(f"{self.where(keys)}{'.'.join(keys)} {message}")

    def where(self, keys: Keys) -> str:
        """Return ``file:line: `` of a key, or of the nearest key above it."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.layer.origins:
                return f"{self.layer.origins[keys[:length]]}: "
        return ""

    def report_unclaimed(self, sections: Collection[str], passed_through: Collection[str]) -> None:
        """Record every key that no plugin took.

        Args:
            sections: the top-level keys there are.
            passed_through: those of them whose content is somebody else's to check.
        """
        for key in self.layer.data:
            if key not in sections:
                self.problem((key,), f"is no section{did_you_mean(key, sections)}")
            elif key not in passed_through:
                self._report_unclaimed((key,))

    def _report_unclaimed(self, keys: Keys) -> None:
        value = self.value(keys)
        if not isinstance(value, Mapping) or (keys in self.claimed and keys not in self.known):
            return
        for key in value:
            path = (*keys, key)
            if path not in self.claimed and path not in self.known:
                names = self.known.get(keys, set())
                hint = did_you_mean(key, names, quote="'")
                # with a plugin unknown, a key it may have claimed is no second problem
                if hint or not self.incomplete:
                    self.problem(path, f"is used by no plugin{hint}")
            else:
                self._report_unclaimed(path)
