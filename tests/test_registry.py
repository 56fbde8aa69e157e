"""Tests of registries."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import pytest
from torch import nn

from mmvt.errors import PluginError
from mmvt.registry import Registry


class Shape(ABC):
    sides: ClassVar[int]

    @abstractmethod
    def area(self) -> float:
        """Return the area."""


class Square(Shape):
    sides = 4

    def area(self) -> float:
        return 1.0


class Layer(nn.Module):
    @abstractmethod
    def forward(self) -> None:
        """Do nothing."""


@pytest.fixture
def shapes() -> Registry[Any]:
    return Registry("shape", f"{__name__}:Shape", {"Square": __name__})


def test_a_plugin_is_found_by_its_class_name(shapes: Registry[Any]):
    assert shapes.get("Square") is Square
    assert "Square" in shapes
    assert "Circle" not in shapes


def test_nothing_is_imported_before_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lazy_shapes.py").write_text(
        f"from {__name__} import Square\n\n\nclass Lazy(Square):\n    pass\n"
    )
    registry: Registry[Any] = Registry("shape", f"{__name__}:Shape", {"Lazy": "lazy_shapes"})
    assert registry.names() == ["Lazy"]
    assert "lazy_shapes" not in sys.modules
    assert registry.get("Lazy").__name__ == "Lazy"
    assert "lazy_shapes" in sys.modules


def test_an_added_class_is_found_and_listed_in_order(shapes: Registry[Any]):
    class Circle(Square):
        pass

    shapes.add(Circle)
    assert shapes.get("Circle") is Circle
    assert shapes.names() == ["Circle", "Square"]


def test_an_unknown_name_suggests_the_nearest(shapes: Registry[Any]):
    with pytest.raises(PluginError, match=r"^no shape named 'Sqaure'; did you mean Square\?$"):
        shapes.get("Sqaure")


def test_an_unknown_name_like_no_other_lists_what_there_is(shapes: Registry[Any]):
    with pytest.raises(PluginError, match=r"^no shape named 'X' \(there are Square\)$"):
        shapes.get("X")


def test_a_module_without_the_class_is_an_error():
    registry: Registry[Any] = Registry("aligner", f"{__name__}:Shape", {"Gone": __name__})
    with pytest.raises(PluginError, match=f"module {__name__} has no aligner named 'Gone'"):
        registry.get("Gone")


def test_a_name_is_taken_once(shapes: Registry[Any]):
    with pytest.raises(PluginError, match="there is already a shape named 'Square'"):
        shapes.add(Square)
    registry: Registry[Any] = Registry("aligner", f"{__name__}:Shape", {"Square": __name__})
    with pytest.raises(PluginError, match="there is already an aligner"):
        registry.add(Square)


def test_a_class_of_another_kind_is_refused(shapes: Registry[Any]):
    with pytest.raises(PluginError, match="is no shape: it does not extend"):
        shapes.add(dict)


def test_a_class_with_a_method_left_open_is_refused(shapes: Registry[Any]):
    class Blob(Shape):
        sides = 0

    with pytest.raises(PluginError, match=r"^shape Blob does not define area$"):
        shapes.add(Blob)


def test_a_class_without_a_declared_attribute_is_refused(shapes: Registry[Any]):
    class Blob(Shape):
        def area(self) -> float:
            return 0.0

    with pytest.raises(PluginError, match=r"^shape Blob does not define sides$"):
        shapes.add(Blob)


def test_a_torch_module_with_a_method_left_open_is_refused():
    registry: Registry[Any] = Registry("layer", f"{__name__}:Layer", {})

    class Empty(Layer):
        pass

    with pytest.raises(PluginError, match=r"^layer Empty does not define forward$"):
        registry.add(Empty)
