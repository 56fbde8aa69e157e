"""Caption files: what a model wrote, and what people did, by the id of the clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmvt.errors import DataError
from mmvt.evaluators.base import Predictions
from mmvt.processors.annotations import Record, read_json, read_json_lines, refuse
from mmvt.processors.video.clips import clip_id

# where a caption has an id of its own, that of what it describes comes first
IDS = ("image_id", "video_id", "id")
LISTS = ("annotations", "sentences")
MOST_BYTES = 1 << 30

Captions = list[tuple[str, str]]


def caption_predictions(path: Path, annotations: Path) -> Predictions:
    """Return captions and their references as CaptionMetric takes them.

    Args:
        path: one caption a clip, in a form of :func:`read_captions`.
        annotations: one or more of each clip of the split.

    Raises:
        DataError: with all that is wrong in a file.
    """
    references, written = read_captions(annotations), read_captions(path)
    return {
        "ids": np.array(list(dict.fromkeys(name for name, _ in references))),
        "reference_ids": np.array([name for name, _ in references]),
        "references": text_array(annotations, references),
        "reference_source": np.array("texts"),
        "scored_ids": np.array([name for name, _ in written], np.str_),
        "hypotheses": text_array(path, written),
    }


def read_captions(path: Path) -> Captions:
    """Return (id, caption) of all captions of a file; a caption may be empty.

    The file holds one of these, a caption being a text or a list of texts:

    - ``{id: caption}``;
    - ``{id: {"timestamps": [[start, end], …], "sentences": […]}}``, whose clips are
      ``id@start-end``;
    - a list of ``{"id": id, "caption": caption}``, or in a ``.jsonl`` file a line each; the id may
      be called ``video_id`` or ``image_id``, and the list be in ``annotations`` or ``sentences``.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    if path.suffix == ".jsonl":
        found = [pair for record in read_json_lines(path, problems) for pair in _listed(record)]
    else:
        found = list(_parsed(Record(str(path), {}, problems), read_json(path)))
    if not found and not problems:
        problems.append(f"{path}: holds no caption")
    refuse(problems)
    return found


def _parsed(whole: Record, content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):
        content = next((content[key] for key in LISTS if _is_records(content.get(key))), content)
    if isinstance(content, list):
        for number, value in enumerate(content):
            yield from _listed(whole.entry(value, f"caption {number}"))
    elif isinstance(content, dict):
        for name, value in content.items():
            if isinstance(value, dict):
                yield from _timed(whole.entry(value, repr(name)), name)
            else:
                yield from ((name, text) for text in _texts(whole, repr(name), value))
    else:
        whole.problem("is neither a list nor a mapping of captions")


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _listed(record: Record) -> Iterator[tuple[str, str]]:
    key = next((key for key in IDS if key in record.content), "id")
    name = record.value(key)
    if name is not None and type(name) not in (str, int):
        record.problem(f"{key} {name!r} is no text")
    texts = _texts(record, f"caption of {name!r}", record.value("caption"))
    return ((str(name), text) for text in texts)


def _timed(record: Record, name: str) -> Iterator[tuple[str, str]]:
    texts = _texts(record, "sentences", record.value("sentences"))
    times = record.spans("timestamps")
    if len(texts) != len(times):
        record.problem(f"{len(times)} timestamps for {len(texts)} sentences")
    return ((clip_id(name, *own), text) for own, text in zip(times, texts, strict=False))


def _texts(record: Record, name: str, value: Any) -> Sequence[str]:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return texts
    if value is not None:
        record.problem(f"{name} is neither a text nor a list of texts")
    return []


def text_array(path: Path, captions: Captions) -> np.ndarray:
    """Return captions as an array.

    Raises:
        DataError: one is so long that the array would fill the memory.
    """
    longest = max((text for _, text in captions), key=len, default="")
    # a row of an array of texts is as wide as the longest one
    if 4 * len(longest) * len(captions) > MOST_BYTES:
        name = next(name for name, text in captions if text is longest)
        raise DataError(
            f"{path}: the caption of {name!r} has {len(longest)} characters, more than fit into "
            f"memory {len(captions)} times"
        )
    return np.array([text for _, text in captions], np.str_)
