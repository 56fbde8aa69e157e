"""What the text processors of annotated data sets share: texts tokenised when first asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmvt.errors import DataError
from mmvt.processors.base import TextProcessor
from mmvt.processors.text.tokenizer import load_tokenizer

T = TypeVar("T")


class AnnotatedTextProcessor(TextProcessor):
    """Tokenises texts of annotation files, each once.

    Args:
        paths: the files, for messages.
        bert_name: name or folder of the tokenizer.
    """

    def __init__(self, paths: Iterable[Path], bert_name: str) -> None:
        self.source = ", ".join(map(str, paths))
        self.tokenizer = load_tokenizer(bert_name)
        self._tokens: dict[str, list[int]] = {}

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens."""
        if text not in self._tokens:
            encoded = self.tokenizer(text, add_special_tokens=False, verbose=False)
            self._tokens[text] = encoded["input_ids"]
        return self._tokens[text]

    def whole(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return the fields of captions that belong to the whole video."""
        return self.timed(texts, [(0.0, math.inf)] * len(texts))

    def timed(self, texts: Sequence[str], spans: Sequence[tuple[float, float]]) -> dict[str, Any]:
        """Return the fields of captions with their (start, end) in seconds."""
        times = np.array(spans, dtype=float).reshape(-1, 2)
        tokens = [self.tokens(text) for text in texts]
        return {"start": times[:, 0], "end": times[:, 1], "cap": tokens, "texts": list(texts)}

    def find(self, table: Mapping[str, T], text_id: Any) -> T:
        """Return what a table holds of a text id.

        Raises:
            DataError: it is unknown.
        """
        if text_id not in table:
            raise DataError(f"{self.source}: there is no text id {text_id!r}")
        return table[text_id]
