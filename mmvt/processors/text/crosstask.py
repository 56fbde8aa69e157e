"""Texts of CrossTask: the steps of a video's task, and where they are done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.errors import DataError
from mmvt.processors.labels import StepClips
from mmvt.processors.meta.crosstask import read_spans, read_tasks
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class CrossTaskTextProcessor(AnnotatedTextProcessor):
    """Tokenises the steps of a video's task; its text id is the name of its annotation.

    Args:
        bert_name: name or folder of the tokenizer.
        primary_path: tasks that are tested.
        annotation_path: folder of the annotations.
        related_path: further tasks; null = none.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        primary_path: Path,
        annotation_path: Path,
        related_path: Path | None = None,
    ) -> None:
        super().__init__([annotation_path], bert_name)
        self.annotation_path = annotation_path
        self._tasks = read_tasks(primary_path)
        if related_path is not None:
            self._tasks |= read_tasks(related_path)

    @override
    def __call__(self, text_id: Any) -> StepClips:
        task = str(text_id).partition("_")[0]
        path = self.annotation_path / f"{text_id}.csv"
        if task not in self._tasks or path.parent != self.annotation_path:
            raise DataError(f"{self.source}: there is no text id {text_id!r}")
        steps = self._tasks[task]
        return StepClips(**self.whole(steps), spans=read_spans(path, len(steps)), task=task)
