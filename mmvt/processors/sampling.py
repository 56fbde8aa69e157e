"""Samplers: which part of a video, and which of its captions, make one example.

Every sampler is a pure function of (captions, number of steps, generator). Captions that start at
or after the last feature step are left out first, and a caption that ends later ends with the
video, so that no example can be without frames.

Source: VideoCLIP (arXiv 2109.14084), §3.2, and VLM (ACL Findings 2021), §3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from typing_extensions import override

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import Sampler, TextClips
from mmvt.processors.labels import HighlightClips, labelled

MAX_SPAN = 256
CANDIDATES = 4
WIDE_SPAN = 5.0
SEEN_SPAN = 3.2


class WholeSampler(Sampler):
    """The whole video with its first caption, or with all of them; nothing is drawn.

    Args:
        captions: ``first`` caption only, or ``all`` one after another.
    """

    def __init__(self, *, captions: Literal["first", "all"] = "first") -> None:
        self.captions = captions

    @override
    def __call__(
        self, clips: TextClips, num_steps: int, rng: np.random.Generator
    ) -> tuple[slice, Sequence[int]]:
        if len(clips) == 0:
            raise DataError("there is no caption")
        return slice(0, num_steps), range(1 if self.captions == "first" else len(clips))


class CaptionSampler(Sampler):
    """One random caption and the steps that it covers: a pair of text and clip.

    A caption without times covers the whole video.
    """

    @override
    def __call__(
        self, clips: TextClips, num_steps: int, rng: np.random.Generator
    ) -> tuple[slice, Sequence[int]]:
        clips = clips_within(clips, num_steps)
        chosen = [int(rng.integers(len(clips)))]
        return covered_slice(clips, chosen, num_steps), chosen


class HighlightSampler(Sampler):
    """A query and one random window of those that fit it.

    Windows are in seconds, and the features are taken to be of the whole video.
    """

    @override
    def __call__(
        self, clips: TextClips, num_steps: int, rng: np.random.Generator
    ) -> tuple[slice, Sequence[int]]:
        clips = labelled(clips, HighlightClips)
        if len(clips.windows) == 0:
            raise DataError("no window fits the query; its labels may be held back")
        start, end = clips.windows[int(rng.integers(len(clips.windows)))] / clips.duration
        first = min(math.floor(start * num_steps), num_steps - 1)
        return slice(first, max(first + 1, math.ceil(end * num_steps))), range(1)


class FixedLenSampler(Sampler):
    """Captions grown around a random one until the text is full, and the video they cover.

    A longer video is left for the layout to cut.

    Args:
        max_video_len: length of the video part of the sequence, in feature steps.
        max_len: length of the whole sequence, in tokens.
        keep_prob: probability with which a neighbouring caption is taken, not skipped.
    """

    first_caption: int | None = None

    def __init__(self, *, max_video_len: int, max_len: int, keep_prob: float = 1.0) -> None:
        self.max_words = max_len - max_video_len - 3
        self.keep_prob = keep_prob
        _require(self.max_words >= 0, f"max_len {max_len} leaves no text after {max_video_len=}")
        _require(0 < keep_prob <= 1, f"keep_prob {keep_prob} is not in (0, 1]")

    @override
    def __call__(
        self, clips: TextClips, num_steps: int, rng: np.random.Generator
    ) -> tuple[slice, Sequence[int]]:
        clips = clips_within(clips, num_steps)
        chosen = grow_captions(
            clips, self.max_words, rng, centre=self.first_caption, keep_prob=self.keep_prob
        )
        return covered_slice(clips, chosen, num_steps), chosen


class StartClipSampler(FixedLenSampler):
    """The first captions of a video until the text is full, and the video they cover."""

    first_caption = 0


class VariedLenSampler(Sampler):
    """Captions grown around a random one up to a random length, and the video they cover.

    A longer video is left for the layout to cut.

    Args:
        sampled_min_len: fewest tokens at which captions stop growing.
        sampled_max_len: most tokens at which captions stop growing.
        keep_prob: probability with which a neighbouring caption is taken, not skipped.
    """

    def __init__(
        self, *, sampled_min_len: int = 8, sampled_max_len: int = 64, keep_prob: float = 1.0
    ) -> None:
        self.words = _word_range(sampled_min_len, sampled_max_len)
        self.keep_prob = keep_prob
        _require(0 < keep_prob <= 1, f"keep_prob {keep_prob} is not in (0, 1]")

    @override
    def __call__(
        self, clips: TextClips, num_steps: int, rng: np.random.Generator
    ) -> tuple[slice, Sequence[int]]:
        clips = clips_within(clips, num_steps)
        max_words = int(rng.integers(*self.words, endpoint=True))
        chosen = grow_captions(clips, max_words, rng, keep_prob=self.keep_prob)
        return covered_slice(clips, chosen, num_steps), chosen


class OverlappedSampler(Sampler):
    """A run of captions and a video clip that overlap without sharing their borders.

    Captions are grown around a random one up to a random number of tokens; the video clip is grown
    around a random second of the time they cover, up to a random number of steps.

    Args:
        max_video_len: length of the video part of the sequence, in feature steps.
        sampled_min_len: fewest tokens at which captions stop growing.
        sampled_max_len: most tokens at which captions stop growing.
        sampled_video_min_len: shortest video clip, in feature steps.
        sampled_video_max_len: longest video clip, in feature steps; ``max_video_len`` if unset.
        keep_prob: probability with which a neighbouring caption is taken, not skipped.
    """

    def __init__(
        self,
        *,
        max_video_len: int,
        sampled_min_len: int = 8,
        sampled_max_len: int = 64,
        sampled_video_min_len: int = 3,
        sampled_video_max_len: int | None = None,
        keep_prob: float = 1.0,
    ) -> None:
        longest = max_video_len if sampled_video_max_len is None else sampled_video_max_len
        self.words = _word_range(sampled_min_len, sampled_max_len)
        self.steps = (sampled_video_min_len, longest)
        self.keep_prob = keep_prob
        _require(
            1 <= sampled_video_min_len <= longest <= max_video_len,
            f"sampled_video_min_len {sampled_video_min_len} to sampled_video_max_len {longest} "
            f"is no range within 1 to max_video_len {max_video_len}",
        )
        _require(0 < keep_prob <= 1, f"keep_prob {keep_prob} is not in (0, 1]")

    @override
    def __call__(
        self, clips: TextClips, num_steps: int, rng: np.random.Generator
    ) -> tuple[slice, Sequence[int]]:
        clips = clips_within(clips, num_steps)
        max_words = int(rng.integers(*self.words, endpoint=True))
        chosen = grow_captions(clips, max_words, rng, keep_prob=self.keep_prob)
        centre = int(rng.integers(*covered_steps(clips, chosen), endpoint=True))
        length = int(rng.integers(*self.steps, endpoint=True))
        return grow_window(centre, length, num_steps, rng), chosen


class MILNCESampler(Sampler):
    """A few steps around a random caption, with the captions nearest to it as candidates.

    The caption is widened to 5 steps where it is shorter, and 3.2 steps of it are taken, from a
    random whole one on. The first or the last caption stands in for candidates outside the list.

    Source: MIL-NCE (arXiv 1912.06430), §3.1, whose features have one step a second.
    """

    @override
    def __call__(
        self, clips: TextClips, num_steps: int, rng: np.random.Generator
    ) -> tuple[slice, Sequence[int]]:
        clips = clips_within(clips, num_steps)
        centre = int(rng.integers(len(clips)))
        first = first_candidate(clips, centre)
        candidates = [min(max(first + i, 0), len(clips) - 1) for i in range(CANDIDATES)]
        low, high = seek_range(clips.start[centre], clips.end[centre])
        seek = min(int(rng.integers(low, high, endpoint=True)), num_steps - 1)
        return slice(seek, min(math.floor(seek + SEEN_SPAN), num_steps)), candidates


def clips_within(clips: TextClips, num_steps: int) -> TextClips:
    """Return the captions that start before step ``num_steps``, with their ends clipped to it.

    Args:
        clips: captions in time order, with times in feature steps.
        num_steps: length of the video.

    Raises:
        DataError: no caption starts inside the video.
    """
    count = int(np.searchsorted(clips.start, num_steps))
    if count == 0:
        raise DataError(
            f"none of the {len(clips)} captions starts within the {num_steps} feature steps"
        )
    ends = np.minimum(clips.end[:count], num_steps)
    return TextClips(clips.start[:count], ends, clips.cap[:count])


def grow_captions(
    clips: TextClips,
    max_words: int,
    rng: np.random.Generator,
    *,
    centre: int | None = None,
    keep_prob: float = 1.0,
) -> list[int]:
    """Return the indices of captions grown around one, in time order.

    The next caption to the left or to the right is taken, with probability 1/2 each where both
    exist, until the captions hold ``max_words`` tokens or more, cover :data:`MAX_SPAN` steps, or
    none is left.

    Args:
        clips: captions in time order, with times in feature steps.
        max_words: number of tokens at which growth stops.
        rng: the only source of chance.
        centre: index to start from; drawn if None.
        keep_prob: probability with which a neighbour is taken; else the one behind it is, if
            there is one.
    """
    last = len(clips) - 1
    chosen = [int(rng.integers(last + 1)) if centre is None else centre]
    words = len(clips.cap[chosen[0]])
    while (
        words < max_words
        and (chosen[0] > 0 or chosen[-1] < last)
        and clips.end[chosen[-1]] - clips.start[chosen[0]] < MAX_SPAN
    ):
        to_the_right = chosen[-1] < last and (chosen[0] == 0 or rng.random() < 0.5)
        stride = 1 if keep_prob == 1 or rng.random() < keep_prob else 2
        if to_the_right:
            chosen.append(min(chosen[-1] + stride, last))
            words += len(clips.cap[chosen[-1]])
        else:
            chosen.insert(0, max(chosen[0] - stride, 0))
            words += len(clips.cap[chosen[0]])
    return chosen


def covered_steps(clips: TextClips, chosen: Sequence[int]) -> tuple[int, int]:
    """Return the step in which the chosen captions start, and the one at which they end."""
    return math.floor(clips.start[chosen[0]]), math.ceil(clips.end[chosen[-1]])


def covered_slice(clips: TextClips, chosen: Sequence[int], num_steps: int) -> slice:
    """Return the steps that the chosen captions cover, at least one."""
    first, stop = covered_steps(clips, chosen)
    return slice(first, min(max(stop, first + 1), num_steps))


def first_candidate(clips: TextClips, centre: int) -> int:
    """Return the index of the first of :data:`CANDIDATES` captions nearest in time to one.

    A window grows by the neighbour with which it covers less time, to the right where both are
    equal. Once it holds the first caption it is moved there; once it holds the last, the
    candidates that it lacks are counted to its left, even if there are none.
    """
    first = last = centre
    for held in range(1, CANDIDATES):
        if first == 0:
            return 0
        if last == len(clips) - 1:
            return first - (CANDIDATES - held)
        to_the_left = clips.end[last] - clips.start[first - 1]
        if to_the_left < clips.end[last + 1] - clips.start[first]:
            first -= 1
        else:
            last += 1
    return first


def seek_range(start: float, end: float) -> tuple[int, int]:
    """Return the (first, last) step from which on the steps of a caption may be taken."""
    lack = WIDE_SPAN - (end - start)
    if lack > 0:
        start = max(0.0, start - lack / 2)
        end = start + WIDE_SPAN
    return math.floor(start), math.floor(max(start, end - SEEN_SPAN))


def grow_window(centre: int, length: int, num_steps: int, rng: np.random.Generator) -> slice:
    """Return a run of ``min(length, num_steps)`` steps grown around a centre.

    Growing an empty run by one step at a time, to the left or to the right with probability 1/2
    each and only inside the video, has a closed law: with w steps in all, K ~ Binomial(w, 1/2) of
    them lie left of the centre, and the run is then moved into the video.

    Args:
        centre: the border between two steps around which the run grows, 0 to ``num_steps``.
        length: number of steps wanted.
        num_steps: length of the video.
        rng: the only source of chance.
    """
    width = min(length, num_steps)
    start = centre - int(rng.binomial(width, 0.5))
    start = min(max(start, 0), num_steps - width)
    return slice(start, start + width)


def _word_range(least: int, most: int) -> tuple[int, int]:
    _require(0 <= least <= most, f"sampled_min_len {least} to sampled_max_len {most} is no range")
    return least, most


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ConfigError(otherwise)
