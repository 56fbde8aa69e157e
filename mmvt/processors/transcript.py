"""What is said in a video: words with their times, and the segments they make."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmvt.files import atomic_write_text


@dataclass(frozen=True, slots=True)
class Word:
    """One word that is said.

    Attributes:
        text: the word, with its punctuation.
        start: seconds from the start of the video.
        end: seconds; not before ``start``.
        probability: how sure who wrote it down was, from 0 to 1; None where nobody says.
    """

    text: str
    start: float
    end: float
    probability: float | None = None


@dataclass(frozen=True)
class Transcript:
    """All that is said in a video.

    Attributes:
        words: in time order; those who speak at once may overlap.
        language: code such as ``en``; None where it is not known.
        left_out: stretches that speech recognition gave up on, and that have no words.
    """

    words: tuple[Word, ...] = ()
    language: str | None = None
    left_out: int = 0


def write_transcript(path: Path, transcript: Transcript) -> None:
    """Write a transcript as JSON, whole or not at all.

    :func:`~mmvt.processors.transcript_files.read_transcript` reads it back.
    """
    words = []
    for word in transcript.words:
        said = {"word": word.text, **asdict(word)}
        del said["text"]
        words.append({key: value for key, value in said.items() if value is not None})
    content = {
        "language": transcript.language,
        "left_out": transcript.left_out,
        "words": words,
    }
    atomic_write_text(path, json.dumps(content, ensure_ascii=False) + "\n")


def segments(
    words: Sequence[Word], *, max_words: int = 15, max_seconds: float = 30.0, min_words: int = 1
) -> list[Sequence[Word]]:
    """Return the words in groups of ``max_words`` that follow each other.

    Where a group would span more than ``max_seconds``, it is looked for one word later; the word
    that this passes over is in no segment. The last group has what is left.

    Args:
        words: in time order.
        max_words: words a segment.
        max_seconds: longest span of a segment.
        min_words: fewest words of the last segment; fewer are in none.

    Raises:
        ValueError: a number is out of range.

    Source: Video Pre-trained Transformer (arXiv 2304.10505), its code, which loses the last words.
    """
    if not (1 <= min_words <= max_words and max_seconds > 0):
        raise ValueError(f"no segments have {min_words} to {max_words} words in {max_seconds} s")
    found = []
    first = 0
    while len(words) - first >= min_words:
        group = words[first : first + max_words]
        start, end = span(group)
        if end - start <= max_seconds:
            found.append(group)
            first += len(group)
        else:
            first += 1
    return found


def span(words: Sequence[Word]) -> tuple[float, float]:
    """Return (start, end) of words in time order, of which there is at least one."""
    return words[0].start, max(word.end for word in words)
