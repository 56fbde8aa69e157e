"""Arrays of predictions: read and checked, and their ids compared with those of the split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, Num

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions

MOST_NAMED = 10


@dataclass(frozen=True)
class Asked:
    """What a split asks for, and which of it was predicted.

    Attributes:
        noun: what one of it is called.
        ids: all ids of the split.
        places: place in ``ids`` of each predicted row.
    """

    noun: str
    ids: list[str]
    places: list[int]

    @classmethod
    def of(cls, predictions: Predictions, noun: str, *, allow_missing: bool = False) -> Asked:
        """Return the arrays ``ids`` and ``scored_ids``, checked.

        Args:
            predictions: holds them.
            noun: what one of the split is called, for messages.
            allow_missing: some of the split may be without a prediction.

        Raises:
            DataError: the split is empty; an id is there twice, missing or unexpected. Ids are
                named.
        """
        ids = read_ids(predictions, "ids")
        if not ids:
            raise DataError(f"the predictions are of a split without a {noun}")
        refuse_repeated("ids", ids)
        return cls(noun, ids, places(predictions, noun, "scored_ids", ids, allow_missing))

    @property
    def missing(self) -> list[str]:
        """Ids without a prediction."""
        found = set(self.places)
        return [name for place, name in enumerate(self.ids) if place not in found]

    @property
    def scored(self) -> list[str]:
        """Ids with a prediction, in the order of the rows."""
        return [self.ids[place] for place in self.places]

    def protocol(self, name: str) -> dict[str, Any]:
        """Return what every protocol says: its name, how many, which, and how many are missing."""
        return {
            "name": name,
            plural(self.noun): len(self.ids),
            "ids_sha256": sha256_of(self.ids),
            f"missing_{plural(self.noun)}": len(self.missing),
        }


def plural(noun: str) -> str:
    """Return the plural of an English noun such as ``video`` or ``query``."""
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


def named(ids: Sequence[str]) -> str:
    """Return the first of some ids for a message, and how many more there are."""
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return ", ".join(repr(name) for name in ids[:MOST_NAMED]) + more


def sha256_of(lines: Iterable[str]) -> str:
    """Return the sha256 of lines in sorted order, each with a line feed at its end."""
    text = "".join(f"{line}\n" for line in sorted(lines))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def read(predictions: Predictions, name: str, rows: int | None = None) -> np.ndarray:
    """Return an array of predictions.

    Args:
        predictions: arrays by name.
        name: which of them.
        rows: how many rows it must have; any number unless set.

    Raises:
        DataError: it is absent, or has another number of rows.
    """
    if name not in predictions:
        raise DataError(
            f"the predictions have no array {name!r}, only {', '.join(sorted(predictions))}"
        )
    array = predictions[name]
    if rows is not None and (array.ndim == 0 or len(array) != rows):
        raise DataError(f"{name} has the shape {array.shape}, but must have {rows} rows")
    return array


def read_ids(predictions: Predictions, name: str) -> list[str]:
    """Return an array of ids as a list.

    Raises:
        DataError: it is absent, or holds something else.
    """
    array = read(predictions, name)
    # what has no element has no type either
    if array.ndim != 1 or (array.size and array.dtype.kind != "U"):
        raise DataError(f"{name} must hold a text for each id")
    return array.tolist()


def read_texts(predictions: Predictions, name: str, rows: int | None = None) -> list[str]:
    """Return an array of texts as a list.

    Raises:
        DataError: it is absent, has another number of rows, or holds something else.
    """
    array = read(predictions, name, rows)
    # what has no element has no type either
    if array.ndim != 1 or (array.size and array.dtype.kind != "U"):
        raise DataError(f"{name} must hold one text each")
    texts: list[str] = array.tolist()
    return texts


def read_whole(
    predictions: Predictions, name: str, rows: int | None = None, *, end: int | None = None
) -> Int64[np.ndarray, " rows *more"]:
    """Return an array of whole numbers from 0.

    Args:
        predictions: arrays by name.
        name: which of them.
        rows: how many rows it must have; any number unless set.
        end: the first number that is too large; none is unless set.

    Raises:
        DataError: it is absent, has another number of rows, or holds something else.
    """
    array = read(predictions, name, rows)
    # what has no element has no type either
    array = array.astype(np.int64) if array.size == 0 else array
    good = array.dtype.kind in "iu" and array.min(initial=0) >= 0
    if not good or (end is not None and bool((array >= end).any())):
        upper = "" if end is None else f" to {end - 1}"
        raise DataError(f"{name} must hold whole numbers from 0{upper}")
    return array.astype(np.int64, copy=False)


def read_numbers(
    predictions: Predictions, name: str, ids: Sequence[str], *, finite: bool = False
) -> Num[np.ndarray, " rows *more"]:
    """Return an array of numbers, a row an id.

    Args:
        predictions: arrays by name.
        name: which of them.
        ids: of what each row is, for messages.
        finite: refuse -inf too, which is the score of what cannot be.

    Raises:
        DataError: it is absent, has another number of rows, or holds something else; NaN is told
            with its ids.
    """
    array = read(predictions, name, len(ids))
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name} must hold numbers")
    wrong = np.isnan(array) | (np.isinf(array) if finite else array == np.inf)
    if wrong.any():
        rows = np.flatnonzero(wrong.reshape(len(ids), -1).any(axis=1)).tolist()
        bad = list(dict.fromkeys(ids[row] for row in rows))
        raise DataError(f"{name} of {len(bad)} ids hold NaN or inf: {named(bad)}")
    return array


def split_rows(
    predictions: Predictions, name: str, lengths: Sequence[int], noun: str
) -> list[Int64[np.ndarray, " rows"]]:
    """Return the parts of an array of whole numbers that holds them one after another.

    Args:
        predictions: arrays by name.
        name: which of them.
        lengths: length of each part.
        noun: what a part belongs to, for the message.

    Raises:
        DataError: it is absent, longer or shorter, or holds something else.
    """
    array = read_whole(predictions, name)
    if array.shape != (sum(lengths),):
        raise DataError(
            f"{name} has the shape {array.shape}, but {len(lengths)} {plural(noun)} need "
            f"{sum(lengths)} numbers"
        )
    return np.split(array, np.cumsum(lengths)[:-1]) if len(lengths) else []


def repeated(ids: Sequence[str]) -> list[str]:
    """Return the ids that occur more than once."""
    return [name for name, times in Counter(ids).items() if times > 1]


def refuse_repeated(name: str, ids: Sequence[str]) -> None:
    """Raise if an id of the array ``name`` occurs more than once.

    Raises:
        DataError: naming the ids.
    """
    if twice := repeated(ids):
        raise DataError(f"{name} holds ids more than once: {named(twice)}")


def places(
    predictions: Predictions, noun: str, name: str, expected: Sequence[str], allow_missing: bool
) -> list[int]:
    """Return the places of the predicted ids among those expected.

    Args:
        predictions: arrays by name.
        noun: what an id is of, for messages.
        name: the array of the predicted ids.
        expected: all ids of the split.
        allow_missing: not all of them have to be predicted.

    Raises:
        DataError: an id is there twice, missing or unexpected. Ids are named.
    """
    ids = read_ids(predictions, name)
    place = {name: number for number, name in enumerate(expected)}
    predicted, many = set(ids), plural(noun)
    problems = {
        f"{many} predicted more than once": repeated(ids),
        f"predictions of {many} that the split does not have": [i for i in ids if i not in place],
        f"{many} without a prediction": []
        if allow_missing
        else [name for name in expected if name not in predicted],
    }
    found = [f"{len(who)} {what}: {named(who)}" for what, who in problems.items() if who]
    if found:
        raise DataError("\n".join(found))
    return [place[name] for name in ids]
