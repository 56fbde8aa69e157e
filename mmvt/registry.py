"""A registry: the plugins of one kind, by class name, imported when first asked for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Generic, TypeVar

from mmvt.errors import PluginError, did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """The plugins of one kind.

    Args:
        kind: what a plugin is called in messages, such as ``aligner``.
        base: ``module:Class`` of the contract that every plugin of the kind fulfils.
        plugins: module of each plugin by class name; nothing is imported before it is used.
    """

    def __init__(self, kind: str, base: str, plugins: Mapping[str, str]) -> None:
        self.kind = kind
        self._base = base
        self._modules = dict(plugins)
        self._classes: dict[str, type[T]] = {}

    @property
    def base(self) -> type[T]:
        """The class that every plugin of the kind extends."""
        module, name = self._base.split(":")
        base: type[T] = vars(importlib.import_module(module))[name]
        return base

    def __contains__(self, name: object) -> bool:
        return name in self._modules or name in self._classes

    def names(self) -> list[str]:
        """Return the names of all plugins, sorted."""
        return sorted({*self._modules, *self._classes})

    def add(self, cls: type[T]) -> None:
        """Add a class under its own name.

        Raises:
            PluginError: the name is taken, or the class does not fulfil the kind's contract.
        """
        if cls.__name__ in self:
            raise PluginError(f"there is already {_a(self.kind)} named {cls.__name__!r}")
        self._classes[cls.__name__] = self._checked(cls)

    def get(self, name: str) -> type[T]:
        """Return the plugin class named ``name``.

        Raises:
            PluginError: no plugin of this kind has that name, or it breaks the kind's contract.
        """
        if name not in self._classes:
            if name not in self._modules:
                names = self.names()
                hint = did_you_mean(name, names) or f" (there are {', '.join(names)})"
                raise PluginError(f"no {self.kind} named {name!r}{hint}")
            module = importlib.import_module(self._modules[name])
            if name not in vars(module):
                raise PluginError(f"module {module.__name__} has no {self.kind} named {name!r}")
            self._classes[name] = self._checked(vars(module)[name])
        return self._classes[name]

    def _checked(self, cls: type[T]) -> type[T]:
        if not (inspect.isclass(cls) and issubclass(cls, self.base)):
            raise PluginError(f"{cls!r} is no {self.kind}: it does not extend {self._base}")
        missing = [*_abstract_methods(cls), *_unset_attributes(cls)]
        if missing:
            raise PluginError(f"{self.kind} {cls.__name__} does not define {', '.join(missing)}")
        return cls


def _abstract_methods(cls: type) -> list[str]:
    # asked of the members: torch's modules have no ABCMeta that would count them
    members = inspect.getmembers_static(cls)
    return [name for name, member in members if getattr(member, "__isabstractmethod__", False)]


def _unset_attributes(cls: type) -> list[str]:
    """Return the class variables that a base declares, and neither it nor ``cls`` sets."""
    declared = (
        item for base in cls.__mro__ for item in vars(base).get("__annotations__", {}).items()
    )
    names = [name for name, annotation in declared if "ClassVar" in str(annotation)]
    return [name for name in dict.fromkeys(names) if not hasattr(cls, name)]


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
