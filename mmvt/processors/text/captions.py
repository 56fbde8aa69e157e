"""Captions of a caption file, tokenised when first asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from mmvt.errors import DataError
from mmvt.processors.base import TextClips, TextProcessor
from mmvt.processors.caption_file import read_captions, text_ids
from mmvt.processors.text.tokenizer import load_tokenizer


class CaptionTextProcessor(TextProcessor):
    """Tokenises the captions of a caption file; each text once.

    Args:
        annotations: CSV with the header ``video,caption[,start,end][,split]``.
        bert_name: name or folder of the tokenizer.
    """

    def __init__(self, *, annotations: Path, bert_name: str) -> None:
        self.annotations = annotations
        self.tokenizer = load_tokenizer(bert_name)
        self._captions = text_ids(read_captions(annotations))
        self._tokens: dict[str, list[int]] = {}

    @override
    def __call__(self, text_id: Any) -> TextClips:
        if text_id not in self._captions:
            raise DataError(f"{self.annotations} has no caption for the text id {text_id!r}")
        rows = self._captions[text_id]
        return TextClips(
            np.array([row.start for row in rows]),
            np.array([row.end for row in rows]),
            [self._tokenised(row.text) for row in rows],
            texts=[row.text for row in rows],
        )

    def _tokenised(self, text: str) -> list[int]:
        if text not in self._tokens:
            encoded = self.tokenizer(text, add_special_tokens=False, verbose=False)
            self._tokens[text] = encoded["input_ids"]
        return self._tokens[text]
