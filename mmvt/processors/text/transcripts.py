"""What is said in videos as captions: segments of word-timed transcripts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.errors import ConfigError, DataError
from mmvt.ids import check_id
from mmvt.processors.base import TextClips, TextProcessor
from mmvt.processors.text.dedup import TimedText, text_clips
from mmvt.processors.text.tokenizer import load_tokenizer, tokenised
from mmvt.processors.transcript import Word, segments, span
from mmvt.processors.transcript_files import find_transcript, read_transcript

logger = logging.getLogger(__name__)


class TranscriptTextProcessor(TextProcessor):
    """Tokenises what is said in a video, a caption a segment; the text id is the video id.

    A segment has ``max_words`` words in a row, or at the end what is left. Words that are too far
    apart for one are in none; how many these are is logged.

    Args:
        transcripts: folder of transcripts as ``mmvt transcribe`` writes them (``OUT/transcripts``),
            or of files of one's own: the name of a video, with or without its extension, and
            ``.json``, ``.srt`` or ``.vtt``.
        bert_name: name or folder of the tokenizer.
        max_words: words a segment.
        max_seconds: longest span of a segment.
        min_words: fewest words of the last segment; fewer are in none.

    Raises:
        ConfigError: a number is out of range, or there is no such folder.

    Source: Video Pre-trained Transformer (arXiv 2304.10505), its code.
    """

    def __init__(
        self,
        *,
        transcripts: Path,
        bert_name: str,
        max_words: int = 15,
        max_seconds: float = 30.0,
        min_words: int = 1,
    ) -> None:
        if not (1 <= min_words <= max_words and max_seconds > 0):
            raise ConfigError(
                f"no segments have min_words={min_words}, max_words={max_words} and "
                f"max_seconds={max_seconds:g}"
            )
        if not transcripts.is_dir():
            raise ConfigError(f"transcripts: {transcripts} is no folder")
        self.transcripts = transcripts
        self.max_words, self.max_seconds, self.min_words = max_words, max_seconds, min_words
        self.tokenizer = load_tokenizer(bert_name)

    @override
    def __call__(self, text_id: Any) -> TextClips:
        if not isinstance(text_id, str):
            raise DataError(f"the text id {text_id!r} is no id of a video")
        path = find_transcript(self.transcripts, check_id(text_id))
        words = read_transcript(path).words
        groups = segments(
            words,
            max_words=self.max_words,
            max_seconds=self.max_seconds,
            min_words=self.min_words,
        )
        if left := len(words) - sum(map(len, groups)):
            logger.info("%s: %d of %d words are in no segment", path, left, len(words))
        said = [TimedText(*span(group), _text(group)) for group in groups]
        return text_clips(said, tokenised(self.tokenizer, [caption.text for caption in said]))


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)
