"""Texts of ActivityNet Captions: paragraphs and timed sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.processors.base import TextClips
from mmvt.processors.meta.activitynet import dense_id, read_described, sentence_examples
from mmvt.processors.splits import SplitPaths
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class ActivityNetCaptionsTextProcessor(AnnotatedTextProcessor):
    """Tokenises the paragraph of a video (``val_1:v_x``) or a timed sentence (``val_1:v_x#1``).

    ``val_1:v_x#all`` are all sentences of a video, in time order.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: captions for training.
        val_path: captions for validation.
        test_path: captions for testing.
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
        self._paragraphs: dict[str, str] = {}
        self._sentences: dict[str, tuple[str, tuple[float, float]]] = {}
        self._dense: dict[str, list[tuple[tuple[float, float], str]]] = {}
        for path in paths:
            videos = read_described(path)
            self._paragraphs |= {f"{path.stem}:{v.video_id}": v.paragraph for v in videos}
            for video in videos:
                # the file may hold them in another order than that of time
                timed_texts = sorted(zip(video.times, video.sentences, strict=True))
                self._dense[dense_id(path, video)] = timed_texts
            timed = (pair for v in videos for pair in zip(v.sentences, v.times, strict=True))
            ids = (text_id for _, text_id in sentence_examples(path, videos))
            self._sentences |= dict(zip(ids, timed, strict=True))

    @override
    def __call__(self, text_id: Any) -> TextClips:
        if text_id in self._paragraphs:
            return TextClips(**self.whole([self._paragraphs[text_id]]))
        if text_id in self._dense:
            own = self._dense[text_id]
            return TextClips(**self.timed([text for _, text in own], [span for span, _ in own]))
        text, times = self.find(self._sentences, text_id)
        return TextClips(**self.timed([text], [times]))
