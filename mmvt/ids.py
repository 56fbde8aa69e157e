"""Ids of videos: what may be one."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from mmvt.errors import DataError

MAX_BYTES = 255


def check_id(text: str) -> str:
    """Return an id in Unicode's composed form (NFC).

    An id may look like a relative path; it may not lead anywhere else when it becomes one.

    Raises:
        DataError: it is empty, too long, absolute, begins with a dash, or holds ``..``, a backslash
            or a control character.
    """
    composed = unicodedata.normalize("NFC", text)
    path = PurePosixPath(composed)
    if not composed.strip():
        problem = "is empty"
    elif len(composed.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        problem = f"is longer than {MAX_BYTES} bytes"
    elif any(unicodedata.category(letter) in ("Cc", "Cs") for letter in composed):
        problem = "holds a control character"
    elif composed.startswith("-"):
        problem = "begins with a dash"
    elif path.is_absolute() or ".." in path.parts or "\\" in composed:
        problem = "leads out of its folder"
    else:
        return composed
    raise DataError(f"the id {text[:80]!r} {problem}")
