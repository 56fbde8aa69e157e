"""Features in pickles, as Video-ChatGPT and others keep them, read without running anything.

A pickle is a program. Here each function that a pickled array asks for is answered by a stand-in of
our own, which checks what it is given; whoever asks for anything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from typing_extensions import override

from mmvt.datasets.original_shards import PlainUnpickler, UnsafePickle, read_plain_pickle
from mmvt.errors import StoreError
from mmvt.features.convert.base import Features, Source
from mmvt.features.convert.npy import files_below

TEMPORAL, SPATIAL = 100, 256
SUFFIXES = (".pkl", ".pickle")


class PickledFeatures(Source):
    """A folder with a pickle a video, or one pickle with a dict from video ids to features.

    Features are an array, or nested lists of numbers. Of (356, dim) the first 100 rows are
    Video-ChatGPT's tokens of moments, filled with zeros: ``n_valid`` is the number of real ones.

    Args:
        path: the folder or the file.

    Raises:
        StoreError: there is no pickle, or the file is damaged or unsafe.

    Source: Video-ChatGPT (arXiv 2306.05424), §3.1: temporal and spatial features.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._videos: dict[Any, Any] | None = None
        if path.is_dir():
            names, self.refused = files_below(path, ".pkl")
            self.names = [name.removesuffix(".pkl") for name in names]
            return
        content = read_plain_pickle(path, ArrayUnpickler)
        self._videos = content if isinstance(content, dict) else {path.stem: content}
        if strange := [key for key in self._videos if not isinstance(key, str)]:
            raise StoreError(f"{path}: {strange[0]!r} is no id of a video")
        self.names = list(self._videos)

    @override
    def read(self, name: str) -> Features:
        if self._videos is None:
            path = self.path / f"{name}.pkl"
            rows = _rows(f"{path}", read_plain_pickle(path, ArrayUnpickler))
            source = f"{name}.pkl"
        else:
            rows = _rows(f"{self.path}: {name!r}", self._videos[name])
            source = self.path.name
        return Features(rows, source=source, n_valid=_valid_tokens(rows))


class ArrayUnpickler(PlainUnpickler):
    """Makes plain containers, and stand-ins of arrays of plain numbers."""

    @override
    def find_class(self, module: str, name: str) -> Any:
        make = _MAKERS.get((module.replace("numpy.core.", "numpy._core."), name))
        return _Maker(make) if make else super().find_class(module, name)


class ObjectUnpickler(ArrayUnpickler):
    """Makes an array of one object too, as ``np.savez`` writes a dict; see :func:`object_in`."""

    @override
    def find_class(self, module: str, name: str) -> Any:
        return (
            _Maker(_any_dtype)
            if (module, name) == ("numpy", "dtype")
            else super().find_class(module, name)
        )


def object_in(content: Any) -> Any:
    """Return the object that an array of one holds, its dict with arrays for their stand-ins.

    Raises:
        StoreError: it holds something else.
    """
    if not (isinstance(content, _Array) and isinstance(content.value, list)):
        raise StoreError("is no array of one object")
    if len(content.value) != 1 or not isinstance(content.value[0], dict):
        raise StoreError("holds no mapping of keys and values")
    return {
        key: value.value if isinstance(value, _Array) else value
        for key, value in content.value[0].items()
    }


class _Maker:
    """A function that a pickle may call, and do nothing else with."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickle("it changes a function")


class _DType:
    """Stands for the type of an array."""

    __slots__ = ("value",)

    def __init__(self, code: Any, *flags: Any) -> None:
        if not isinstance(code, str) or np.dtype(code).kind not in "fiub":
            raise UnsafePickle(f"an array holds {code!r}, not plain numbers")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.value = self.value.newbyteorder(state[1])


class _ObjectDType:
    """Stands for the type of an array of objects."""

    __slots__ = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Ignore the state, which says nothing of objects."""


def _any_dtype(code: Any, *flags: Any) -> _DType | _ObjectDType:
    return _ObjectDType() if code in ("O", "O8") else _DType(code, *flags)


class _Array:
    """Stands for an array."""

    __slots__ = ("value",)

    def __init__(self, *form: Any) -> None:
        self.value: np.ndarray | list[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, columns_first, data = state
        if isinstance(dtype, _ObjectDType):
            self.value = data
            return
        order: Literal["C", "F"] = "F" if columns_first else "C"
        self.value = np.frombuffer(data, dtype.value).reshape(shape, order=order)

    @classmethod
    def of_buffer(cls, data: Any, dtype: _DType, shape: tuple[int, ...], order: str) -> _Array:
        array = cls()
        array.__setstate__((1, shape, dtype, order == "F", data))
        return array


def _refuse(*arguments: Any) -> None:
    raise UnsafePickle("it makes an array in a way of its own")


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1" if encoding in ("latin1", "latin-1") else "ascii")


_MAKERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _refuse,  # named as the class that _reconstruct shall make
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): lambda dtype, data: np.frombuffer(data, dtype.value)[0],
    ("numpy._core.numeric", "_frombuffer"): _Array.of_buffer,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
}


def _rows(where: str, content: Any) -> np.ndarray:
    """Return features as an array.

    Raises:
        StoreError: they are none.
    """
    try:
        if isinstance(content, _Array) and isinstance(content.value, np.ndarray):
            return content.value
        if isinstance(content, list | tuple):
            steps = [item.value if isinstance(item, _Array) else item for item in content]
            return np.array(steps, None if isinstance(steps[0], np.ndarray) else np.float32)
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise StoreError(f"{where}: is no array of numbers: {error}") from error
    raise StoreError(f"{where}: is no array of numbers")


def _valid_tokens(rows: np.ndarray) -> int | None:
    """Return the number of tokens of real moments, where rows are Video-ChatGPT's tokens."""
    if rows.ndim != 2 or len(rows) != TEMPORAL + SPATIAL:
        return None
    real = np.flatnonzero(rows[:TEMPORAL].any(1))
    return None if len(real) == 0 or real[-1] + 1 == TEMPORAL else int(real[-1]) + 1
