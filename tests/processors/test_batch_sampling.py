from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import TextClips
from mmvt.processors.batch_sampling import (
    BatchCaptions,
    BatchSamples,
    clip_keys,
    sample_fixed_len,
    sample_overlapped,
)
from mmvt.processors.sampling import (
    FixedLenSampler,
    OverlappedSampler,
    StartClipSampler,
    clips_within,
)
from tests.laws import assert_counts_follow, captions_law, clips_of, in_a_row, window_law

DRAWS = 20_000
Outcome = tuple[int, int, int, int]


def batch_of(*videos: TextClips) -> BatchCaptions:
    return BatchCaptions(
        np.cumsum([0, *(len(clips) for clips in videos)]),
        np.concatenate([clips.start for clips in videos]),
        np.concatenate([clips.end for clips in videos]),
        np.array([len(words) for clips in videos for words in clips.cap]),
    )


def outcomes(samples: BatchSamples, video: int, first_caption: int = 0) -> list[Outcome]:
    start, length, first, stop = (part[video].tolist() for part in samples)
    return [
        (a, a + n, b - first_caption, c - first_caption)
        for a, n, b, c in zip(start, length, first, stop, strict=True)
    ]


def text_law(clips: TextClips, budgets: list[int]) -> dict[tuple[int, int], float]:
    law: dict[tuple[int, int], float] = defaultdict(float)
    for budget in budgets:
        for centre in range(len(clips)):
            for chosen, p in captions_law(clips, budget, centre, 1.0).items():
                law[chosen[0], chosen[-1] + 1] += p / len(clips) / len(budgets)
    return dict(law)


def overlapped_law(
    clips: TextClips, steps: int, words: tuple[int, int], lengths: tuple[int, int]
) -> dict[Outcome, float]:
    clips = clips_within(clips, steps)
    law: dict[Outcome, float] = defaultdict(float)
    widths = range(lengths[0], lengths[1] + 1)
    for (first, stop), p in text_law(clips, list(range(words[0], words[1] + 1))).items():
        centres = range(math.floor(clips.start[first]), math.ceil(clips.end[stop - 1]) + 1)
        for centre in centres:
            for width in widths:
                for window, q in window_law(centre, width, steps).items():
                    law[(*window, first, stop)] += p * q / len(centres) / len(widths)
    return dict(law)


CASES = [
    (in_a_row([2]), 1),
    (in_a_row([2, 1, 3], seconds=1.5), 4),
    (clips_of((0.5, 1.2), (1.2, 5), (1.2, 1.2), (7, 9), words=[1, 4, 0, 2]), 6),
    (clips_of((0, math.inf), (0, 1), (2, 2), words=[0, 0, 0]), 3),
    (in_a_row([1, 1, 1, 1], seconds=128.0), 500),
]


@pytest.mark.parametrize(("clips", "steps"), CASES)
def test_overlapped_batches_follow_the_law_of_one_example(clips: TextClips, steps: int) -> None:
    sampler = OverlappedSampler(
        max_video_len=4, sampled_min_len=1, sampled_max_len=4, sampled_video_min_len=2
    )
    samples = sample_overlapped(
        batch_of(clips), np.array([steps]), clip_keys(3, 1, np.array([5]), DRAWS), sampler
    )
    law = overlapped_law(clips, steps, (1, 4), (2, 4))
    seen = Counter(outcomes(samples, 0))
    if steps < 100:
        assert_counts_follow(seen, law)
    else:  # too many outcomes to count each: their captions
        texts: dict[tuple[int, ...], float] = defaultdict(float)
        for outcome, p in law.items():
            texts[outcome[2:]] += p
        assert set(seen) <= set(law)
        assert_counts_follow(Counter(o[2:] for o in outcomes(samples, 0)), texts)


@pytest.mark.parametrize(("clips", "steps"), CASES)
def test_fixed_len_batches_follow_the_law_of_one_example(clips: TextClips, steps: int) -> None:
    sampler = FixedLenSampler(max_video_len=4, max_len=10)
    samples = sample_fixed_len(
        batch_of(clips), np.array([steps]), clip_keys(3, 1, np.array([5]), DRAWS), sampler
    )
    inside = clips_within(clips, steps)
    law = {}
    for (first, stop), p in text_law(inside, [3]).items():
        start = math.floor(inside.start[first])
        end = min(max(math.ceil(inside.end[stop - 1]), start + 1), steps)
        law[start, end, first, stop] = p
    assert_counts_follow(Counter(outcomes(samples, 0)), law)


def test_start_clip_batches_begin_with_the_first_caption() -> None:
    sampler = StartClipSampler(max_video_len=4, max_len=10)
    captions, keys = batch_of(in_a_row([9]), in_a_row([2, 1, 3])), clip_keys(1, 1, np.arange(2), 9)
    samples = sample_fixed_len(captions, np.array([3, 3]), keys, sampler)
    assert set(outcomes(samples, 1, first_caption=1)) == {(0, 2, 0, 2)}


@pytest.mark.parametrize("length", [63, 64, 65, 130])
def test_windows_longer_than_a_word_of_coins_follow_the_binomial_law(length: int) -> None:
    sampler = OverlappedSampler(
        max_video_len=length, sampled_video_min_len=length, sampled_video_max_len=length
    )
    captions = batch_of(clips_of((500, 500)))
    keys = clip_keys(1, 1, np.array([0]), DRAWS)
    samples = sample_overlapped(captions, np.array([1000]), keys, sampler)
    left = 500 - samples.video_start[0]
    assert (samples.video_len == length).all()
    law = {k: math.comb(length, k) / 2**length for k in range(length + 1)}
    assert_counts_follow(Counter(left.tolist()), law)


def test_texts_may_grow_by_more_captions_than_a_word_has_coins() -> None:
    clips = in_a_row([1] * 150)
    sampler = FixedLenSampler(max_video_len=4, max_len=207)
    keys = clip_keys(1, 1, np.array([0]), 50)
    samples = sample_fixed_len(batch_of(clips), np.array([150]), keys, sampler)
    assert (samples.text_first == 0).all()
    assert (samples.text_stop == 150).all()
    few = FixedLenSampler(max_video_len=4, max_len=107)
    samples = sample_fixed_len(batch_of(clips), np.array([150]), keys, few)
    assert (samples.text_stop - samples.text_first == 100).all()
    assert len(set(samples.text_first[0].tolist())) > 10


_TIME = st.tuples(st.floats(0, 25), st.floats(0, 9), st.integers(0, 9))
_VIDEO = st.tuples(st.lists(_TIME, min_size=1, max_size=6), st.integers(1, 20))


def video_of(times: list[tuple[float, float, int]], steps: int) -> TextClips:
    """Return captions of which the first starts within the video."""
    times = sorted(times)
    times[0] = (min(times[0][0], steps - 0.5), *times[0][1:])
    spans = ((start, start + length) for start, length, _ in times)
    return clips_of(*spans, words=[words for _, _, words in times])


@given(st.lists(_VIDEO, min_size=1, max_size=4), st.integers(0, 99), st.integers(1, 4))
@settings(max_examples=150)
def test_a_clip_is_the_same_in_every_batch_and_lies_in_its_video(
    given_videos: list[tuple[list[tuple[float, float, int]], int]], seed: int, clips_a_video: int
) -> None:
    drawn = [(video_of(times, steps), steps) for times, steps in given_videos]
    sampler = OverlappedSampler(
        max_video_len=6, sampled_min_len=1, sampled_max_len=9, sampled_video_min_len=2
    )
    captions = batch_of(*(clips for clips, _ in drawn))
    steps = np.array([steps for _, steps in drawn])
    keys = clip_keys(seed, 2, np.arange(len(drawn)), clips_a_video)
    samples = sample_overlapped(captions, steps, keys, sampler)
    fixed = sample_fixed_len(captions, steps, keys, FixedLenSampler(max_video_len=6, max_len=15))
    for index, (clips, count) in enumerate(drawn):
        alone = sample_overlapped(
            batch_of(clips), steps[index : index + 1], keys[index : index + 1], sampler
        )
        first_caption = int(captions.offsets[index])
        assert outcomes(samples, index, first_caption) == outcomes(alone, 0)
        inside = len(clips_within(clips, count))
        for part in (samples, fixed):
            for start, stop, first, end in outcomes(part, index, first_caption):
                assert 0 <= start < stop <= count
                assert 0 <= first < end <= inside
        assert (samples.video_len[index] <= 6).all()


def test_keys_tell_seed_epoch_example_and_clip_apart() -> None:
    every = [
        clip_keys(seed, epoch, np.arange(20), 5).ravel().tolist()
        for seed in (-1, 0, 1)
        for epoch in (1, 2)
    ]
    assert len({key for keys in every for key in keys}) == 3 * 2 * 20 * 5
    few = clip_keys(1, 2, np.array([7, 3]), 2)
    assert few.tolist() == clip_keys(1, 2, np.arange(20), 5)[[7, 3], :2].tolist()


@pytest.mark.faults
@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (clips_of(), "none of its 0 captions starts within the 5 feature steps"),
        (clips_of((5, 6), (7, 8)), "none of its 2 captions starts within the 5 feature steps"),
        (clips_of((0, 1), (math.nan, 2)), "caption 2 goes from nan to 2"),
        (clips_of((0, 1), (1, math.nan)), "caption 2 goes from 1 to nan"),
        (clips_of((-1, 1)), "caption 1 goes from -1 to 1"),
        (clips_of((3, 1)), "caption 1 goes from 3 to 1"),
        (clips_of((3, 4), (1, 2)), "caption 2 goes from 1 to 2, or starts before the one before"),
        (clips_of((math.inf, math.inf)), "caption 1 goes from inf to inf"),
    ],
)
def test_captions_that_are_wrong_are_named(clips: TextClips, message: str) -> None:
    captions = batch_of(in_a_row([1, 1]), clips, clips_of((0, 1)))
    keys = clip_keys(1, 1, np.arange(3), 2)
    for sample, sampler in (
        (sample_overlapped, OverlappedSampler(max_video_len=4)),
        (sample_fixed_len, FixedLenSampler(max_video_len=4, max_len=9)),
    ):
        with pytest.raises(DataError, match=f"video 2 of the batch: {message}"):
            sample(captions, np.full(3, 5), keys, sampler)  # type: ignore[operator]


def test_skipped_captions_are_no_run() -> None:
    captions, keys = batch_of(in_a_row([1])), clip_keys(1, 1, np.arange(1), 1)
    sampler = OverlappedSampler(max_video_len=4, keep_prob=0.5)
    with pytest.raises(ConfigError, match=r"keep_prob is 0\.5"):
        sample_overlapped(captions, np.array([1]), keys, sampler)
