"""Texts of QVHighlights: queries with the windows that fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from mmvt.processors.labels import HighlightClips
from mmvt.processors.meta.qvhighlights import read_queries
from mmvt.processors.splits import SplitPaths
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class QVHighlightsTextProcessor(AnnotatedTextProcessor):
    """Tokenises a query.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: queries for training.
        val_path: queries for validation.
        test_path: queries for testing.
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
        self._queries = {query.text_id: query for path in paths for query in read_queries(path)}

    @override
    def __call__(self, text_id: Any) -> HighlightClips:
        query = self.find(self._queries, text_id)
        return HighlightClips(
            **self.whole([query.text]),
            windows=np.array(query.windows, dtype=float).reshape(-1, 2),
            clip_ids=np.array(query.clip_ids, dtype=int),
            saliency=np.array(query.saliency or np.zeros((0, 0)), dtype=int),
            duration=query.duration,
        )
