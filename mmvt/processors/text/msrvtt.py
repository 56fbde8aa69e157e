"""Texts of MSR-VTT: captions, pairs and answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.processors.base import TextClips
from mmvt.processors.labels import ChoiceClips
from mmvt.processors.meta.msrvtt import caption_ids, read_captions, read_choices, read_pairs
from mmvt.processors.splits import SplitPaths
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class MSRVTTTextProcessor(AnnotatedTextProcessor):
    """Tokenises all captions of a video, one of them (``video7#1``), or the sentence of a pair.

    Args:
        bert_name: name or folder of the tokenizer.
        json_path: captions of all videos.
        val_path: csv with the pairs for validation.
        test_path: csv with the pairs for testing.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        json_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        pairs = [path for path in dict.fromkeys([val_path, test_path]) if path is not None]
        paths = [*([json_path] if json_path else []), *pairs]
        if not paths:
            raise ConfigError("one of json_path, val_path and test_path is needed")
        super().__init__(paths, bert_name)
        self._texts: dict[str, list[str]] = {}
        if json_path is not None:
            for video, texts in read_captions(json_path).sentences.items():
                ids = caption_ids(video, len(texts))
                self._texts |= {video: texts, **{i: [t] for i, t in zip(ids, texts, strict=True)}}
        for path in pairs:
            for pair in read_pairs(path):
                if pair.sentence is not None:
                    self._texts[pair.text_id] = [pair.sentence]

    @override
    def __call__(self, text_id: Any) -> TextClips:
        return TextClips(**self.whole(self.find(self._texts, text_id)))


class MSRVTTChoiceTextProcessor(AnnotatedTextProcessor):
    """Tokenises the sentences to choose from.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: questions for training.
        val_path: questions for validation.
        test_path: questions for testing.
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
        self._choices = {choice.text_id: choice for path in paths for choice in read_choices(path)}

    @override
    def __call__(self, text_id: Any) -> ChoiceClips:
        choice = self.find(self._choices, text_id)
        return ChoiceClips(**self.whole(choice.answers), answer=choice.answer)
