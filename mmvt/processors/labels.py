"""Captions that come with labels: what a text processor knows of a data set beyond the words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int
from typing_extensions import override

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import TextClips

C = TypeVar("C", bound=TextClips)


@dataclass(frozen=True)
class ChoiceClips(TextClips):
    """The answers to choose from, as captions of the whole video.

    Attributes:
        answer: place of the right one, from 0.
    """

    answer: int


@dataclass(frozen=True)
class QuestionClips(ChoiceClips):
    """A question about a video, or about a part of it, and its answers as captions of that.

    An open question has the right answer alone.

    Attributes:
        question: its token ids.
        groups: kinds that it is of, the widest first.
        context: token ids of what is known beside the question, such as what is said.
        known: whether the right answer occurs in training; None = training is not known.
        guess: what a question that begins like it is most often answered in training.
    """

    question: list[int]
    groups: tuple[str, ...]
    context: list[int] = field(default_factory=list, kw_only=True)
    known: bool | None = field(default=None, kw_only=True)
    guess: str | None = field(default=None, kw_only=True)

    @override
    def scaled(self, factor: float) -> QuestionClips:
        """Return the same with all times multiplied; see :meth:`TextClips.scaled`.

        Raises:
            DataError: the factor is 0, so that no step has a time, but a part is asked about.
        """
        if factor == 0 and np.isfinite(self.end).any():
            raise DataError("parts with times need features with a steady number of steps a second")
        scaled = super().scaled(factor)
        assert isinstance(scaled, QuestionClips)
        return scaled


@dataclass(frozen=True)
class ClassClips(TextClips):
    """The name of what is done in a video, as its caption.

    Attributes:
        label: number of the class, from 0.
        folds: what the video is for in each split of the data set: 1 = training, 2 = testing,
            0 = neither.
    """

    label: int
    folds: tuple[int, ...]


@dataclass(frozen=True)
class Spans:
    """Labelled parts of a video, in the order of the annotation.

    Attributes:
        label: (m,) number of each one's class or step.
        start: (m,) start in seconds.
        end: (m,) end in seconds.
    """

    label: Int[np.ndarray, " m"]
    start: Float[np.ndarray, " m"]
    end: Float[np.ndarray, " m"]

    def steps(self, num_steps: int) -> list[tuple[int, slice]]:
        """Return (label, steps it touches) of each part, within the steps that there are.

        Times are in feature steps. A part reaches from the step in which it starts to the one in
        which it ends.
        """
        spans = zip(self.label.tolist(), self.start.tolist(), self.end.tolist(), strict=True)
        return [
            (label, slice(math.floor(start), min(math.ceil(end), num_steps)))
            for label, start, end in spans
        ]


@dataclass(frozen=True)
class SpanClips(TextClips):
    """Captions, and labelled parts of their video.

    Attributes:
        spans: the labelled parts.
    """

    spans: Spans

    @override
    def scaled(self, factor: float) -> SpanClips:
        """Return the same with all times multiplied.

        Raises:
            DataError: the factor is 0, so that no step has a time.
        """
        if factor == 0:
            raise DataError("parts with times need features with a steady number of steps a second")
        spans, scaled = self.spans, super().scaled(factor)
        assert isinstance(scaled, SpanClips)
        spans = replace(spans, start=spans.start * factor, end=spans.end * factor)
        return replace(scaled, spans=spans)


@dataclass(frozen=True)
class StepClips(SpanClips):
    """The steps of a task as captions, and where in a video they are done.

    The labels of ``spans`` are places in ``cap``.

    Attributes:
        task: id of the task.
    """

    task: str


@dataclass(frozen=True)
class MomentClips(TextClips):
    """A sentence, and where in a video several people see what it says.

    Attributes:
        moments: (annotators, 2) first and last chunk of the video, from 0.
        chunk: length of a chunk in seconds.
    """

    moments: Int[np.ndarray, "annotators 2"]
    chunk: float

    @override
    def scaled(self, factor: float) -> MomentClips:
        """Return the same with all times multiplied; see :meth:`TextClips.scaled`."""
        scaled = super().scaled(factor)
        assert isinstance(scaled, MomentClips)
        return replace(scaled, chunk=self.chunk * factor)


@dataclass(frozen=True)
class HighlightClips(TextClips):
    """A query, the windows of a video that fit it, and how well each short clip in them does.

    All three are empty where the labels are held back. They stay in the units of their data set,
    as metrics count in them.

    Attributes:
        windows: (windows, 2) start and end in seconds.
        clip_ids: (shots,) numbers of the short clips, from 0.
        saliency: (shots, raters) scores of each, from 0 (very bad) to 4 (very good).
        duration: length of the video in seconds.
    """

    windows: Float[np.ndarray, "windows 2"]
    clip_ids: Int[np.ndarray, " shots"]
    saliency: Int[np.ndarray, "shots raters"]
    duration: float


def labelled(clips: TextClips, kind: type[C]) -> C:
    """Return captions as those of a kind.

    Raises:
        ConfigError: they are of another.
    """
    if not isinstance(clips, kind):
        raise ConfigError(
            f"the aligner needs {kind.__name__}, but the text processor gives "
            f"{type(clips).__name__}; use the text processor of a data set with such labels"
        )
    return clips
