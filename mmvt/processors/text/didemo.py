"""Texts of DiDeMo: sentences with their places in the video, and paragraphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from mmvt.processors.base import TextClips
from mmvt.processors.labels import MomentClips
from mmvt.processors.meta.didemo import CHUNK, paragraphs, read_moments
from mmvt.processors.splits import SplitPaths
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class DiDeMoTextProcessor(AnnotatedTextProcessor):
    """Tokenises a sentence by its annotation id, or the paragraph of a video by the video's.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: sentences for training.
        val_path: sentences for validation.
        test_path: sentences for testing.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path).every()
        super().__init__(paths, bert_name)
        self._moments = {moment.text_id: moment for path in paths for moment in read_moments(path)}
        self._paragraphs = {
            video: text for path in paths for video, text in paragraphs(path).items()
        }

    @override
    def __call__(self, text_id: Any) -> TextClips:
        if text_id in self._paragraphs:
            return TextClips(**self.whole([self._paragraphs[text_id]]))
        moment = self.find(self._moments, text_id)
        moments = np.array(moment.times, dtype=int).reshape(-1, 2)
        return MomentClips(**self.whole([moment.text]), moments=moments, chunk=CHUNK)
