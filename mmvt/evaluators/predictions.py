"""The file of predictions: a predictor's arrays, and how they were made as JSON; no code."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.files import atomic_write

PREDICTIONS = "predictions.npz"
RESULTS = "results.json"
_PROTOCOL = "protocol"

Protocol = dict[str, Any]


def save_predictions(path: Path, predictions: Predictions, protocol: Protocol) -> None:
    """Write arrays and how they were made; the same content gives the same bytes.

    Raises:
        DataError: an array holds something else than numbers or text.
    """
    objects = [name for name, array in predictions.items() if array.dtype.hasobject]
    if objects:
        raise DataError(f"{', '.join(objects)}: predictions must be numbers or text, not objects")
    text = json.dumps(protocol, sort_keys=True, ensure_ascii=False)
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **{**predictions, _PROTOCOL: np.array(text)})


def load_predictions(path: Path) -> tuple[Predictions, Protocol]:
    """Return arrays and how they were made; nothing in the file is executed.

    Raises:
        DataError: the file is missing, damaged, or was written by something else.
    """
    try:
        # opened here: numpy would leave a damaged file open
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise DataError(f"{path}: damaged, or no predictions")
            with np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        protocol = json.loads(str(arrays.pop(_PROTOCOL)))
    except FileNotFoundError as error:
        raise DataError(f"{path}: there are no such predictions") from error
    except KeyError as error:
        raise DataError(f"{path}: holds no predictions of mmvt: {error}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged, or no predictions: {error}") from error
    return arrays, protocol
