"""What a run over many videos keeps beside its results, so that the next one can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmvt.errors import StoreError
from mmvt.features.find import Failure, Video
from mmvt.files import atomic_write_text

FAILURES = "failures.jsonl"


class Failures(dict[str, Failure]):
    """The failures of a run and of those before it, by id; the file follows every change.

    Args:
        path: the file, made when something fails.

    Raises:
        StoreError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        for torn in path.parent.glob(f".{path.name}.*.tmp"):  # of a process that was killed
            torn.unlink()
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            self.update({item.id: item for item in (Failure(**json.loads(line)) for line in lines)})
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(f"{path} is damaged ({error}); remove it to try again") from error

    def note(self, video: Video, reason: str | None) -> None:
        """Write down that a video failed, or that it no longer does.

        Raises:
            StoreError: the file cannot be written.
        """
        if reason is not None:
            self[video.id] = Failure(video.id, str(video.path), reason)
        elif self.pop(video.id, None) is None:
            return
        lines = [json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in self.values()]
        try:
            atomic_write_text(self._path, "".join(lines))
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written: {error.strerror}") from error


def refuse_mixture(folder: Path, there: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raise where what is in a folder was made in another way, naming each option that differs.

    Raises:
        StoreError: options differ; both values of each are shown.
    """
    flat_there, flat_ours = _flat(there), _flat(ours)
    problems = [
        f"{key} is {flat_there.get(key)!r}, not {flat_ours.get(key)!r}"
        for key in sorted({*flat_there, *flat_ours})
        if flat_there.get(key) != flat_ours.get(key)
    ]
    if problems:
        raise StoreError(f"{folder} was made with other options: {'; '.join(problems)}")


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in options.items():
        inner = _flat(value) if isinstance(value, Mapping) else {"": value}
        flat |= {f"{key}.{name}" if name else key: item for name, item in inner.items()}
    return flat
