"""Ids of videos: what may be one."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from mmvt.errors import DataError

MAX_BYTES = 255


def composed(text: str) -> str:
    """Return text in Unicode's composed form (NFC), in which ids are kept and compared."""
    return unicodedata.normalize("NFC", text)


def check_id(text: str) -> str:
    """Return an id in its composed form.

    An id may look like a relative path; it may not lead anywhere else when it becomes one. It may
    begin with a dash, as one in 64 of YouTube's does: no command is ever given an id.

    Raises:
        DataError: it is empty, too long, absolute, or holds ``..``, a backslash, a line break or a
            control character.
    """
    video_id = composed(text)
    path = PurePosixPath(video_id)
    if not video_id.strip():
        problem = "is empty"
    elif len(video_id.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        problem = f"is longer than {MAX_BYTES} bytes"
    elif any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in video_id):
        problem = "holds a control character"
    elif path.is_absolute() or ".." in path.parts or "\\" in video_id:
        problem = "leads out of its folder"
    else:
        return video_id
    raise DataError(f"the id {text[:80]!r} {problem}")
