"""Video and text: features, training, evaluation and search.

``mmvt.load`` gives vectors and scores of video files and sentences, ``mmvt.MMVTModel`` scores raw
frames. Both are imported when they are first used.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmvt.inference import LoadedModel, MMVTModel, load

    __version__: str

__all__ = ["LoadedModel", "MMVTModel", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in __all__:
        return vars(importlib.import_module("mmvt.inference"))[name]
    raise AttributeError(f"module 'mmvt' has no attribute {name!r}")


def _version() -> str:
    try:
        return version("mmvt")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0+checkout"
