"""The data story: MetaProcessor → VideoProcessor + TextProcessor → Aligner → example.

Wire keys of an example and of a batch (B = batch, V = ``max_video_len``, L = ``max_len``):

===============  ============================  ====================================================
key              shape and type                meaning
===============  ============================  ====================================================
``vfeats``       (B, V, D) or (B, V, G, D)     video features; one row, or a grid of G rows, a step
``vmasks``       (B, V) bool                   true where a feature is real
``caps``         (B, L - V) int64              ``[CLS] [SEP] w1 … wn [SEP] [PAD] …``; the first
                                               ``[SEP]`` belongs to the video
``cmasks``       (B, L - V) bool               true up to and including the last ``[SEP]``
``text_label``   (B, L - V) int64              targets of masked or generated tokens, -100 elsewhere
``video_label``  (B, V) bool                   true where a frame is masked
``video_id``     list of B str                 id of the video
===============  ============================  ====================================================

Source: VideoCLIP (arXiv 2109.14084) and VLM (ACL Findings 2021), whose checkpoints and shards use
these names.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from mmvt.errors import ConfigError

if TYPE_CHECKING:
    from mmvt.processors.expert_words import ExpertWords

Example = dict[str, Any]

INPUT_KEYS = ("vfeats", "vmasks", "caps", "cmasks")
WIRE_KEYS = (*INPUT_KEYS, "text_label", "video_label")


@dataclass(frozen=True)
class TextClips:
    """Captions of one text id, in time order.

    A text processor that knows more, such as the label of a segment or the right one of several
    choices, returns a subclass with further fields.

    Attributes:
        start: (n,) start of each caption in seconds.
        end: (n,) end in seconds; ``inf`` = until the end of the video.
        cap: token ids of each caption, without special tokens.
        texts: the captions as they were written; None where only their tokens are known.
        experts: what text experts say of the video.
    """

    start: Float[np.ndarray, " n"]
    end: Float[np.ndarray, " n"]
    cap: list[list[int]]
    texts: list[str] | None = field(default=None, kw_only=True)
    experts: tuple[ExpertWords, ...] = field(default=(), kw_only=True)

    def __len__(self) -> int:
        return len(self.cap)

    def scaled(self, factor: float) -> TextClips:
        """Return the same captions with times multiplied, such as seconds to feature steps.

        A factor of 0 says that the steps have no steady rate, as where each video has the same
        number of them: every caption then covers the whole video.
        """
        if factor == 0:
            return replace(self, start=np.zeros(len(self)), end=np.full(len(self), np.inf))
        return replace(self, start=self.start * factor, end=self.end * factor)


class MetaProcessor(ABC):
    """Lists the examples of one split of a dataset."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of examples."""

    @abstractmethod
    def __getitem__(self, index: int) -> tuple[str, Any]:
        """Return the (video id, text id) of an example."""


class VideoProcessor(ABC):
    """Loads the features of a video.

    Attributes:
        fps: feature steps a second; captions are scaled by it before they reach the aligner.
    """

    fps: float = 1.0

    @abstractmethod
    def __call__(self, video_id: str) -> Float[np.ndarray, "steps *grid dim"]:
        """Return the features of a video, one row (or one grid of rows) a step.

        Raises:
            StoreError: the video has no features.
        """

    def in_steps(self, video_id: str, clips: TextClips) -> TextClips:
        """Return captions of a video, whose times are in seconds, with times in feature steps."""
        return clips.scaled(self.fps)

    def name_of(self, video_id: str) -> str:
        """Return the id of the whole video, of which ``video_id`` may be a part."""
        return video_id

    def seconds_of(self, video_id: str, steps: slice) -> tuple[float, float]:
        """Return start and end of feature steps, in seconds from the start of the whole video.

        Without a steady rate they are all of it.
        """
        return (steps.start / self.fps, steps.stop / self.fps) if self.fps > 0 else (0.0, math.inf)


class TextProcessor(ABC):
    """Loads and tokenises the captions of a text id."""

    @abstractmethod
    def __call__(self, text_id: Any) -> TextClips:
        """Return the captions behind a text id.

        Raises:
            DataError: the id is unknown.
        """


class Layout(ABC):
    """Writes sampled features and tokens into the fixed shapes of the wire keys.

    Attributes:
        produces: the label keys that it writes beside :data:`INPUT_KEYS`.
    """

    produces: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __call__(
        self, video_features: Float[np.ndarray, "steps *grid dim"], text_ids: list[int]
    ) -> dict[str, Tensor]:
        """Return the padded tensors of one example."""

    def read_of(self, text_ids: list[int]) -> int:
        """Return how many tokens a model reads of a caption that it is to go on with."""
        return 0

    def of_clip(self, clips: TextClips, steps: slice) -> Layout:
        """Return the layout of a clip, with what text experts say within it.

        Args:
            clips: captions of the video.
            steps: the clip.

        Raises:
            ConfigError: there are text experts, but no prompt for their words.
        """
        if clips.experts:
            raise ConfigError(
                f"text_experts need the layout PromptLayout, not {type(self).__name__}"
            )
        return self


class Masker(ABC):
    """Hides a part of an example and writes down what a model has to find again.

    Attributes:
        produces: the label keys that it adds to an example.
    """

    produces: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __call__(
        self, example: Mapping[str, Tensor], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Return the example with labels; the tensors given are not changed.

        Args:
            example: the wire keys of one example, as a layout writes them.
            rng: the generator of this example; the only source of chance.
        """


class Sampler(ABC):
    """Chooses which part of a video and which of its captions make one example."""

    @abstractmethod
    def __call__(
        self, clips: TextClips, num_steps: int, rng: np.random.Generator
    ) -> tuple[slice, Sequence[int]]:
        """Return the (video steps, captions) of one example: a slice, and caption numbers."""


class Aligner(ABC):
    """Makes one training example of the features and the captions of a video.

    Attributes:
        produces: keys of an example beside :data:`INPUT_KEYS` and ``video_id``: labels, and what
            a model, a loss or a predictor asks for by these names.
        shows_experts: it asks its layout for the words of text experts.
    """

    produces: ClassVar[tuple[str, ...]] = ()
    shows_experts: ClassVar[bool] = False

    def example_clips(self) -> TextClips | None:
        """Return captions to try the aligner with, as ``mmvt check`` does; times are in steps.

        Only an aligner that needs labels of a kind of its own has to say; for all others, None,
        captions are made up.
        """
        return None

    @abstractmethod
    def __call__(
        self,
        video_id: str,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        """Return the wire keys of one example.

        Args:
            video_id: id of the video, for messages and for the example.
            video_features: all features of the video.
            clips: its captions, with times in feature steps.
            rng: the generator of this example; the only source of chance.
        """
