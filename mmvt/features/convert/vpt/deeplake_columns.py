"""Segments in the columns of a Deeplake dataset, of version 3 or 4."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from mmvt.errors import StoreError, require_package
from mmvt.features.convert.vpt.arrays import STORES
from mmvt.features.convert.vpt.segment import SegmentSource

VERSION_3, VERSION_4 = "dataset_meta.json", "_deeplake_log"
_TEXTS = ("caption", "video_filename", "segment_metadata")


def is_deeplake(path: Path) -> bool:
    """Return whether a folder is a Deeplake dataset."""
    return (path / VERSION_3).is_file() or (path / VERSION_4).is_dir()


class DeeplakeSegments(SegmentSource):
    """The rows of a dataset in a local folder; nothing is written to it.

    The library of version 4 also reads what version 3, which VPT used, has written.

    Args:
        path: the dataset.

    Raises:
        MissingPackageError: the library is not installed.
        StoreError: the dataset cannot be read, or lacks columns of VPT.
    """

    def __init__(self, path: Path) -> None:
        require_package("deeplake", "deeplake")
        import deeplake

        self.path = path
        if '"' in str(path):
            raise StoreError(f"{path}: Deeplake reads no path with a quotation mark")
        try:
            if (path / VERSION_3).is_file():
                self._rows = deeplake.query(f'SELECT * FROM "{path.resolve()}"')
            else:
                self._rows = deeplake.open_read_only(str(path.resolve()))
            self._columns = [column.name for column in self._rows.schema.columns]
            self._length = len(self._rows)
        except Exception as error:  # the library raises what it likes
            raise StoreError(f"{path}: cannot be read by Deeplake: {error}") from error
        if lacking := [name for name in _TEXTS if name not in self._columns]:
            raise StoreError(
                f"{path}: holds no segments of VPT: it has no column {', '.join(lacking)}, only "
                f"{', '.join(self._columns)}"
            )
        self._flags = [name for name in self._columns if name.startswith("done")]

    @override
    def __len__(self) -> int:
        return self._length

    @override
    def where(self, number: int) -> str:
        return f"{self.path}: row {number}"

    @override
    def fields(self, number: int) -> Mapping[str, Any]:
        return self._cells(number, [*_TEXTS, *self._flags])

    @override
    def arrays(self, number: int) -> Mapping[str, Any]:
        names = [name for name in (*STORES, "timestamp") if name in self._columns]
        return self._cells(number, names)

    def _cells(self, number: int, names: list[str]) -> dict[str, Any]:
        cells = {}
        for name in names:
            try:
                value: Any = self._rows[number][name]
                if name == "segment_metadata" and not isinstance(value, str | None):
                    value = _plain(value.to_dict())  # VPT's first datasets have JSON, not text
                cells[name] = value
            except Exception as error:  # as above; a damaged chunk is one of its rows
                raise StoreError(f"{name} cannot be read: {error}") from error
        return cells


def _plain(value: Any) -> Any:
    """Return what a column of JSON holds with Python's own numbers in place of arrays of one."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
