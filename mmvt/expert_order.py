"""In which order experts stand in the rows of a video and before a trunk."""

from __future__ import annotations

from collections.abc import Iterable

MAIN = "video"


def ordered(names: Iterable[str]) -> list[str]:
    """Return names of experts in their order: ``video`` first, then the others by name."""
    return sorted(names, key=lambda name: (name != MAIN, name))
