"""Labels of COIN: the parts of a video, and the texts of all labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.errors import DataError
from mmvt.processors.labels import SpanClips
from mmvt.processors.meta.coin import read_annotation
from mmvt.processors.splits import SplitPaths
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class COINTextProcessor(AnnotatedTextProcessor):
    """Finds the labelled parts of a video, which has no caption.

    Args:
        bert_name: name or folder of the tokenizer, for the texts of the labels.
        train_path: annotation with the training videos.
        val_path: annotation with the test videos.
        test_path: annotation for testing.

    Attributes:
        labels: text of each label; label 1 comes first, as 0 is no label.
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
        files = [read_annotation(path) for path in paths]
        self._spans = {video.video_id: video.spans for file in files for video in file.videos}
        self.labels = max((file.labels for file in files), key=len)
        for path, file in zip(paths, files, strict=True):
            if file.labels != self.labels[: len(file.labels)]:
                raise DataError(f"{path}: its labels are others than those of {self.source}")

    def label_tokens(self) -> list[list[int]]:
        """Return the token ids of each label's text."""
        return [self.tokens(label) for label in self.labels]

    @override
    def __call__(self, text_id: Any) -> SpanClips:
        return SpanClips(**self.whole([]), spans=self.find(self._spans, text_id))
