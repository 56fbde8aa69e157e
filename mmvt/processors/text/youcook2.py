"""Texts of YouCook2: the sentence of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.processors.base import TextClips
from mmvt.processors.meta.youcook2 import ClipFiles
from mmvt.processors.splits import SplitPaths
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class YouCook2TextProcessor(AnnotatedTextProcessor):
    """Tokenises the sentence of a clip that is cut out of its video, for retrieval.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: csv or pickled list of the training clips.
        val_path: csv or pickled list for validation.
        test_path: csv or pickled list for testing.
        trainval_annotation: the official annotation.
        use_annotation_text: take the sentences of the annotation instead of a pickled list's.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        trainval_annotation: Path | None = None,
        use_annotation_text: bool = False,
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path)
        files = ClipFiles(paths, trainval_annotation, use_annotation_text)
        super().__init__(files.sources(), bert_name)
        self._clips = {clip.text_id: clip for clip in files.every()}

    @override
    def __call__(self, text_id: Any) -> TextClips:
        return TextClips(**self.whole([self.find(self._clips, text_id).text]))


class YouCook2CaptionTextProcessor(AnnotatedTextProcessor):
    """Tokenises a sentence with its times in the whole video, for captioning.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: list of the training videos, or dense captions (JSON).
        val_path: the same for validation.
        test_path: the same for testing.
        trainval_annotation: the official annotation.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        trainval_annotation: Path | None = None,
    ) -> None:
        files = ClipFiles(SplitPaths(train_path, val_path, test_path), trainval_annotation)
        super().__init__(files.sources(), bert_name)
        self._clips = {clip.text_id: clip for clip in files.every()}

    @override
    def __call__(self, text_id: Any) -> TextClips:
        clip = self.find(self._clips, text_id)
        return TextClips(**self.timed([clip.text], [clip.times]))
