"""An object whose pickle does something when a careless reader unpickles it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class Trap:
    """Makes a folder when it is unpickled.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)
