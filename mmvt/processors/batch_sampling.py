"""Samples of a whole batch at once, by the laws of :mod:`mmvt.processors.sampling`.

Every clip has a key, and each of its random numbers is a hash of the key and of what it is for: a
clip is the same in whatever batch it stands. Nothing is done clip by clip in Python.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt64

from mmvt.errors import ConfigError, DataError
from mmvt.processors.sampling import MAX_SPAN, FixedLenSampler, OverlappedSampler

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BITS = 64
# what a random number is for
_WORDS, _CAPTION, _CENTRE, _LENGTH, _SHIFT, _COINS = range(1, 7)


class BatchCaptions(NamedTuple):
    """The captions of the videos of a batch, one video after another, each in time order.

    Attributes:
        offsets: first caption of each video, and the number of captions at the end.
        starts: start of each caption in feature steps.
        ends: its end; ``inf`` = until the end of the video.
        token_counts: its number of tokens.
    """

    offsets: Int[np.ndarray, " videos_plus_1"]
    starts: Float[np.ndarray, " captions"]
    ends: Float[np.ndarray, " captions"]
    token_counts: Int[np.ndarray, " captions"]


class BatchSamples(NamedTuple):
    """Which steps and captions make each clip.

    Attributes:
        video_start: first step of each clip.
        video_len: its number of steps.
        text_first: its first caption, counted over the captions of the batch.
        text_stop: the one after its last.
    """

    video_start: Int[np.ndarray, "videos clips"]
    video_len: Int[np.ndarray, "videos clips"]
    text_first: Int[np.ndarray, "videos clips"]
    text_stop: Int[np.ndarray, "videos clips"]


def clip_keys(
    seed: int, epoch: int, indices: Int[np.ndarray, " videos"], clips: int
) -> UInt64[np.ndarray, "videos clips"]:
    """Return the key of each clip: a pure function of seed, epoch, example and clip.

    Args:
        seed: the run's seed.
        epoch: 1-based epoch.
        indices: position of each example in its dataset.
        clips: number of clips of each.
    """
    run = np.array([seed & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    for part in (np.array([epoch]), indices[:, None], np.arange(clips)):
        run = _hashed(run + (part.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return run


def sample_overlapped(
    captions: BatchCaptions,
    num_steps: Int[np.ndarray, " videos"],
    keys: UInt64[np.ndarray, "videos clips"],
    sampler: OverlappedSampler,
) -> BatchSamples:
    """Return what an :class:`~mmvt.processors.sampling.OverlappedSampler` draws, for all clips.

    Args:
        captions: of the videos.
        num_steps: length of each video.
        keys: of the clips to draw of each video.
        sampler: the ranges to draw in.

    Raises:
        DataError: a video has captions that are wrong, or none that starts within it.
        ConfigError: the sampler skips captions, which then are no run.
    """
    _require_runs(sampler)
    text, steps = _Texts(captions, num_steps), num_steps[:, None]
    text_first, text_last = text.grown(keys, _whole(keys, _WORDS, *sampler.words))
    centre = _whole(keys, _CENTRE, text.first_step(text_first), text.stop_step(text_last))
    width = np.minimum(_whole(keys, _LENGTH, *sampler.steps), steps)
    start = np.clip(centre - _heads(keys, width, sampler.steps[1]), 0, steps - width)
    return BatchSamples(start, width, text_first, text_last + 1)


def sample_fixed_len(
    captions: BatchCaptions,
    num_steps: Int[np.ndarray, " videos"],
    keys: UInt64[np.ndarray, "videos clips"],
    sampler: FixedLenSampler,
) -> BatchSamples:
    """Return what a :class:`~mmvt.processors.sampling.FixedLenSampler` draws, for all clips.

    Args:
        captions: of the videos.
        num_steps: length of each video.
        keys: of the clips to draw of each video.
        sampler: how long texts grow.

    Raises:
        DataError: a video has captions that are wrong, or none that starts within it.
        ConfigError: the sampler skips captions, which then are no run.
    """
    _require_runs(sampler)
    text = _Texts(captions, num_steps)
    max_words = np.full(keys.shape, sampler.max_words)
    text_first, text_last = text.grown(keys, max_words, centre=sampler.first_caption)
    start = text.first_step(text_first)
    stop = np.minimum(np.maximum(text.stop_step(text_last), start + 1), num_steps[:, None])
    return BatchSamples(start, stop - start, text_first, text_last + 1)


class _Texts:
    """The captions that start within their videos, with ends clipped to these."""

    def __init__(self, captions: BatchCaptions, num_steps: Int[np.ndarray, " videos"]) -> None:
        _check_times(captions)
        offsets = captions.offsets
        self.starts = captions.starts.astype(np.float64)
        limits = np.repeat(num_steps, np.diff(offsets))
        self.ends = np.minimum(captions.ends.astype(np.float64), limits)
        self.tokens = np.concatenate([[0], np.cumsum(captions.token_counts)])
        within = np.concatenate([[0], np.cumsum(self.starts < limits)])
        count = within[offsets[1:]] - within[offsets[:-1]]
        if not count.all():
            video = int(np.argmin(count))
            raise DataError(
                f"video {video + 1} of the batch: none of its "
                f"{offsets[video + 1] - offsets[video]} captions starts within the "
                f"{num_steps[video]} feature steps"
            )
        self.lowest = offsets[:-1]
        self.highest = self.lowest + count - 1

    def first_step(self, first: Int[np.ndarray, "videos clips"]) -> Int[np.ndarray, "videos clips"]:
        """Return the step in which a caption starts."""
        return np.floor(self.starts[first]).astype(np.int64)

    def stop_step(self, last: Int[np.ndarray, "videos clips"]) -> Int[np.ndarray, "videos clips"]:
        """Return the step at which a caption ends."""
        return np.ceil(self.ends[last]).astype(np.int64)

    def grown(
        self,
        keys: UInt64[np.ndarray, "videos clips"],
        max_words: Int[np.ndarray, "videos clips"],
        centre: int | None = None,
    ) -> tuple[Int[np.ndarray, "videos clips"], Int[np.ndarray, "videos clips"]]:
        """Return the (first, last) caption of each clip, grown around one; drawn if None."""
        shape, keys, words = keys.shape, keys.ravel(), max_words.ravel()
        lowest = np.broadcast_to(self.lowest[:, None], shape).ravel()
        highest = np.broadcast_to(self.highest[:, None], shape).ravel()
        first = _whole(keys, _CAPTION, lowest, highest) if centre is None else lowest + centre
        last = first.copy()
        coins = np.empty_like(keys)
        growing, step = np.arange(len(keys)), 0
        while len(growing):
            left, right = first[growing], last[growing]
            low, high = lowest[growing], highest[growing]
            more = (
                (self.tokens[right + 1] - self.tokens[left] < words[growing])
                & ((left > low) | (right < high))
                & (self.ends[right] - self.starts[left] < MAX_SPAN)
            )
            growing = growing[more]
            if step % _BITS == 0:
                coins[growing] = _random(keys[growing], _COINS, step // _BITS)
            heads = (coins[growing] >> np.uint64(step % _BITS)) & np.uint64(1) == 1
            to_the_right = (right < high)[more] & ((left == low)[more] | heads)
            last[growing] += to_the_right
            first[growing] -= ~to_the_right
            step += 1
        return first.reshape(shape), last.reshape(shape)


def _check_times(captions: BatchCaptions) -> None:
    """Raise a DataError unless all times are possible and in order."""
    offsets, starts = captions.offsets, captions.starts
    ordered = np.ones(len(starts), dtype=bool)
    ordered[1:] = starts[1:] >= starts[:-1]
    ordered[offsets[:-1][np.diff(offsets) > 0]] = True  # the first caption of a video
    # comparisons with NaN are false
    good = ordered & (starts >= 0) & (starts < np.inf) & (captions.ends >= starts)
    if not good.all():
        worst = int(np.argmin(good))
        video = int(np.searchsorted(offsets, worst, side="right")) - 1
        raise DataError(
            f"video {video + 1} of the batch: caption {worst - offsets[video] + 1} goes from "
            f"{starts[worst]:g} to {captions.ends[worst]:g}, or starts before the one before it"
        )


def _require_runs(sampler: OverlappedSampler | FixedLenSampler) -> None:
    if sampler.keep_prob != 1:
        raise ConfigError(
            f"keep_prob is {sampler.keep_prob}, but whole batches are sampled without skipping"
        )


def _whole(
    keys: UInt64[np.ndarray, "*clips"],
    purpose: int,
    low: Int[np.ndarray, "*clips"] | int,
    high: Int[np.ndarray, "*clips"] | int,
) -> Int[np.ndarray, "*clips"]:
    """Return a whole number a clip, uniform in [low, high]."""
    fraction = (_random(keys, purpose) >> np.uint64(11)) * 2.0**-53
    return low + (fraction * (np.asarray(high) - low + 1)).astype(np.int64)


def _heads(
    keys: UInt64[np.ndarray, "videos clips"],
    tosses: Int[np.ndarray, "videos clips"],
    most: int,
) -> Int[np.ndarray, "videos clips"]:
    """Return the number of heads of each clip's coins, at most ``most`` of them: binomial."""
    heads = np.zeros(keys.shape, np.int64)
    for first in range(0, most, _BITS):
        bits = np.clip(tosses - first, 0, _BITS).astype(np.uint64)
        coins = _random(keys, _SHIFT, first) >> (np.uint64(_BITS) - np.maximum(bits, 1))
        heads += np.bitwise_count(np.where(bits > 0, coins, 0))
    return heads


def _random(
    keys: UInt64[np.ndarray, "*clips"], purpose: int, number: int = 0
) -> UInt64[np.ndarray, "*clips"]:
    """Return 64 random bits a clip, which depend on its key and on what they are for alone."""
    counter = (purpose << 32 | number) * int(_GOLDEN) & 0xFFFFFFFFFFFFFFFF
    return _hashed(keys + np.uint64(counter))


def _hashed(numbers: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """Return numbers without a trace of their order (the finaliser of splitmix64)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))
