"""Texts of HMDB51: the name of the action that a clip shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.processors.labels import ClassClips
from mmvt.processors.meta.hmdb51 import read_actions
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class HMDB51TextProcessor(AnnotatedTextProcessor):
    """Tokenises the name of a clip's action.

    Args:
        bert_name: name or folder of the tokenizer.
        annotations: the csv.

    Attributes:
        labels: names of all actions, in order of their numbers.
    """

    def __init__(self, *, bert_name: str, annotations: Path) -> None:
        super().__init__([annotations], bert_name)
        self._actions = {action.video_id: action for action in read_actions(annotations)}
        self.labels = sorted({action.label for action in self._actions.values()})

    def label_tokens(self) -> list[list[int]]:
        """Return the token ids of each action's name."""
        return [self.tokens(label) for label in self.labels]

    @override
    def __call__(self, text_id: Any) -> ClassClips:
        action = self.find(self._actions, text_id)
        label = self.labels.index(action.label)
        return ClassClips(**self.whole([action.label]), label=label, folds=action.folds)
