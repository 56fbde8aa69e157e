"""One file of rows, cut into items of different lengths: ``NAME_data.npy`` and ``NAME_starts.npy``.

Item i is ``data[starts[i]:starts[i + 1]]``. Both files are memory-mapped, and a tensor goes to
another process as its name alone, to be mapped there when it is first used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Int64, Shaped
from numpy.lib.format import open_memmap
from typing_extensions import override

from mmvt.errors import StoreError


class ShardedTensor(Sequence[np.ndarray]):
    """The items of one shard.

    Args:
        prefix: path of the two files without ``_data.npy`` and ``_starts.npy``.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix

    @classmethod
    def open(cls, prefix: Path) -> ShardedTensor:
        """Return the tensor of a prefix, checked.

        Raises:
            StoreError: a file is missing or damaged, or the two do not belong together.
        """
        tensor = cls(prefix)
        if tensor.starts[-1] != len(tensor.data):
            raise StoreError(
                f"{prefix}_data.npy has {len(tensor.data)} rows, but {prefix}_starts.npy ends at "
                f"{tensor.starts[-1]}"
            )
        return tensor

    @cached_property
    def data(self) -> Shaped[np.ndarray, "rows *dim"]:
        """All rows, read-only."""
        path = Path(f"{self.prefix}_data.npy")
        data = map_array(path)
        if data.ndim == 0:
            raise StoreError(f"{path}: holds one number, no rows")
        return data

    @cached_property
    def starts(self) -> Int64[np.ndarray, " items_plus_1"]:
        """First row of each item, and the number of rows at the end."""
        path = Path(f"{self.prefix}_starts.npy")
        starts = map_array(path)
        if starts.dtype != np.int64 or starts.ndim != 1 or len(starts) == 0:
            raise StoreError(f"{path}: is no list of 64-bit positions")
        if starts[0] != 0 or (np.diff(starts) < 0).any():
            raise StoreError(f"{path}: positions do not begin at 0 or do not grow")
        return starts

    @override
    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    @override
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        index = range(len(self))[index]
        rows: np.ndarray = self.data[self.starts[index] : self.starts[index + 1]]
        return rows

    def __reduce__(self) -> tuple[type[ShardedTensor], tuple[Path]]:
        return type(self), (self.prefix,)


def map_array(path: Path) -> np.ndarray:
    """Return a ``.npy`` file as a read-only array that is read from disk as it is used.

    Raises:
        StoreError: the file is missing, cut, longer than it should be, or no array of numbers.
    """
    try:
        mapped = open_memmap(path, mode="r")
        expected = mapped.offset + mapped.nbytes
        if path.stat().st_size != expected:
            raise ValueError(f"it has {path.stat().st_size} bytes, not {expected}")
    except FileNotFoundError as error:
        raise StoreError(f"{path}: does not exist") from error
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"{path}: is damaged: {error}") from error
    # a plain array over the map: slicing a memmap object costs a microsecond more
    return np.asarray(mapped)


def all_finite(numbers: np.ndarray) -> bool:
    """Return whether no number is NaN or infinite."""
    if numbers.dtype == np.float16:
        # where the exponent is all ones, the bits are those of a larger whole number than any
        # finite value of the same sign has; far faster than asking numpy, and without a copy
        positive = numbers.view(np.int16).max(initial=0) < 0x7C00
        return bool(positive and numbers.view(np.uint16).max(initial=0) < 0xFC00)
    return bool(np.isfinite(numbers).all())
