"""Texts of MSVD: the captions of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.processors.base import TextClips
from mmvt.processors.meta.msvd import read_captions
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class MSVDTextProcessor(AnnotatedTextProcessor):
    """Tokenises all captions of a clip, or one of them (``clip#1``).

    Args:
        bert_name: name or folder of the tokenizer.
        annotations: captions of all clips.
    """

    def __init__(self, *, bert_name: str, annotations: Path) -> None:
        super().__init__([annotations], bert_name)
        self._texts: dict[str, list[str]] = {}
        for video, texts in read_captions(annotations).items():
            self._texts[video] = texts
            self._texts |= {f"{video}#{n}": [text] for n, text in enumerate(texts, start=1)}

    @override
    def __call__(self, text_id: Any) -> TextClips:
        return TextClips(**self.whole(self.find(self._texts, text_id)))
