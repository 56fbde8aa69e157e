"""Features in one ``.npy`` file a video."""

from __future__ import annotations

import os
from pathlib import Path

from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from typing_extensions import override

from mmvt.datasets.sharded_tensor import map_array
from mmvt.errors import StoreError
from mmvt.features.convert.base import Features, Source
from mmvt.features.find import Failure


class NpyFolder(Source):
    """A folder of ``.npy`` files of shape (steps, dim) or (steps, grid², dim).

    The id of a video is the path of its file below the folder, without ``.npy``.

    Args:
        folder: is searched with its subfolders; what begins with a dot is left out.

    Raises:
        StoreError: there is no ``.npy`` file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names, self.refused = files_below(folder, ".npy")
        self.names = [name.removesuffix(".npy") for name in names]

    @override
    def read(self, name: str) -> Features:
        path = self.folder / f"{name}.npy"
        _refuse_objects(path)
        return Features(map_array(path), source=f"{name}.npy")


def files_below(folder: Path, suffix: str) -> tuple[list[str], list[Failure]]:
    """Return the files of a folder by their relative paths, and those that lead out of it.

    Raises:
        StoreError: there is none.
    """
    names = sorted(
        Path(root, name).relative_to(folder).as_posix()
        for root, folders, files in os.walk(folder)
        for name in files
        if name.endswith(suffix) and not any(p.startswith(".") for p in _parts(folder, root, name))
    )
    top = folder.resolve()
    out = {name for name in names if not (folder / name).resolve().is_relative_to(top)}
    if not names:
        raise StoreError(f"{folder}: there is no {suffix} file")
    refused = [
        Failure(name.removesuffix(suffix), name, "is a link that leads out of the folder")
        for name in names
        if name in out
    ]
    return [name for name in names if name not in out], refused


def _parts(folder: Path, root: str, name: str) -> tuple[str, ...]:
    return Path(root, name).relative_to(folder).parts


def _refuse_objects(path: Path) -> None:
    """Raise where an array holds Python objects, which are a pickle."""
    try:
        with path.open("rb") as file:
            version = read_magic(file)
            read = read_array_header_1_0 if version == (1, 0) else read_array_header_2_0
            _, _, dtype = read(file)
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: is damaged: {error}") from error
    if dtype.hasobject:
        raise StoreError(f"{path}: unsafe, not read: it holds Python objects")
