from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.errors import ConfigError, DataError
from mmvt.processors.labels import HighlightClips
from mmvt.processors.sampling import (
    CaptionSampler,
    FixedLenSampler,
    HighlightSampler,
    MILNCESampler,
    OverlappedSampler,
    StartClipSampler,
    VariedLenSampler,
    WholeSampler,
    clips_within,
    first_candidate,
    grow_captions,
    grow_window,
    seek_range,
)
from mmvt.seeding import generator
from tests.laws import assert_follows, captions_law, clips_of, in_a_row, window_law

RNG = np.random.default_rng


@pytest.mark.parametrize(
    ("centre", "length", "num_steps"),
    [
        (0, 3, 5),
        (2, 0, 4),
        (2, 1, 4),
        (2, 3, 5),
        (5, 3, 5),
        (1, 4, 5),
        (3, 9, 5),
        (0, 1, 1),
        (1, 5, 1),
    ],
)
def test_video_window_follows_the_step_by_step_law(
    centre: int, length: int, num_steps: int
) -> None:
    rng = RNG(7)

    def draw() -> tuple[int, int]:
        window = grow_window(centre, length, num_steps, rng)
        return window.start, window.stop

    assert_follows(draw, window_law(centre, length, num_steps))


def test_closed_law_equals_the_step_by_step_law_at_every_small_length() -> None:
    for num_steps in range(1, 8):
        for length in range(9):
            width = min(length, num_steps)
            for centre in range(num_steps + 1):
                closed: dict[tuple[int, int], float] = defaultdict(float)
                for k in range(width + 1):
                    start = min(max(centre - k, 0), num_steps - width)
                    closed[start, start + width] += math.comb(width, k) / 2**width
                assert closed == pytest.approx(window_law(centre, length, num_steps))


@pytest.mark.parametrize("keep_prob", [1.0, 0.7])
@pytest.mark.parametrize(
    ("words", "max_words", "centre"),
    [
        ([4], 9, 0),
        ([4, 3], 4, 0),
        ([4, 3], 5, 1),
        ([1, 2, 3, 1], 4, 1),
        ([2, 2, 2, 2, 2], 6, 2),
        ([0, 0, 5, 0, 1], 6, 3),
        ([1, 1, 1, 1], 0, 2),
    ],
)
def test_captions_follow_the_step_by_step_law(
    words: list[int], max_words: int, centre: int, keep_prob: float
) -> None:
    clips, rng = in_a_row(words), RNG(3)
    assert_follows(
        lambda: tuple(grow_captions(clips, max_words, rng, centre=centre, keep_prob=keep_prob)),
        captions_law(clips, max_words, centre, keep_prob),
    )


def test_the_first_caption_is_uniform() -> None:
    clips, rng = in_a_row([9, 9, 9]), RNG(0)
    law = {(i,): 1 / 3 for i in range(3)}
    assert_follows(lambda: tuple(grow_captions(clips, 1, rng)), law)


@pytest.mark.parametrize(("seconds", "count"), [(128.0, 2), (127.9, 3), (256.0, 1), (300.0, 1)])
def test_captions_stop_growing_once_they_cover_256_steps(seconds: float, count: int) -> None:
    clips = in_a_row([1] * 5, seconds)
    assert len(grow_captions(clips, 100, RNG(0), centre=2)) == count


def test_fixed_len_takes_the_time_its_captions_cover() -> None:
    clips = clips_of((0.5, 2.2), (2.2, 3.0), (3.0, 4.4), words=[2, 2, 2])
    sampler = FixedLenSampler(max_video_len=4, max_len=13)
    steps, chosen = sampler(clips, 20, RNG(0))
    assert (steps, list(chosen)) == (slice(0, 5), [0, 1, 2])


def test_fixed_len_may_exceed_the_video_part_of_the_sequence() -> None:
    sampler = FixedLenSampler(max_video_len=4, max_len=13)
    assert sampler(clips_of((0, 17.5)), 16, RNG(0))[0] == slice(0, 16)


def test_varied_len_draws_the_number_of_tokens_and_covers_the_captions() -> None:
    clips, rng = in_a_row([2, 2, 2], seconds=1.5), RNG(5)
    sampler = VariedLenSampler(sampled_min_len=2, sampled_max_len=5)
    law: dict[tuple[int, ...], float] = defaultdict(float)
    for max_words in range(2, 6):
        for centre in range(3):
            for chosen, p in captions_law(clips, max_words, centre, 1.0).items():
                law[chosen] += p / 12

    def draw() -> tuple[int, ...]:
        steps, chosen = sampler(clips, 4, rng)
        stop = min(math.ceil(1.5 * (chosen[-1] + 1)), 4)
        assert steps == slice(math.floor(1.5 * chosen[0]), stop)
        return tuple(chosen)

    assert_follows(draw, law)


@pytest.mark.parametrize(("max_len", "count"), [(9, 1), (10, 2), (11, 2), (12, 3), (99, 4)])
def test_start_clip_fills_the_text_from_the_first_caption_on(max_len: int, count: int) -> None:
    sampler = StartClipSampler(max_video_len=4, max_len=max_len)
    for seed in range(5):
        chosen = list(range(count))
        assert sampler(in_a_row([2, 2, 2, 2]), 9, RNG(seed)) == (slice(0, count), chosen)


@pytest.mark.parametrize(
    ("durations", "centre", "first"),
    [
        # at the first caption, or grown up to it: from the start on
        ([1, 1, 1, 1, 1, 1], 0, 0),
        ([1, 1, 9, 1, 1, 1], 1, 0),
        # at the last caption, or grown up to it: what is lacking is counted to the left
        ([1, 1, 1, 1, 1, 1], 5, 2),
        ([1, 1, 1, 9, 1, 1], 4, 2),
        # towards the shorter side, to the right where both are equal
        ([1, 1, 1, 1, 1, 1, 1, 1], 3, 3),
        ([1, 9, 1, 2, 2, 2, 1, 1], 3, 2),
        ([1, 1, 1, 2, 9, 9, 9, 9], 3, 0),
        # fewer captions than candidates
        ([1], 0, 0),
        ([1, 1], 1, -2),
        ([1, 9, 1], 1, -1),
    ],
)
def test_candidates_are_the_captions_nearest_in_time(
    durations: list[float], centre: int, first: int
) -> None:
    borders = [sum(durations[:i]) for i in range(len(durations) + 1)]
    clips = clips_of(*itertools.pairwise(borders))
    assert first_candidate(clips, centre) == first


@pytest.mark.parametrize(
    ("start", "end", "seeks"),
    [
        (10.5, 15.5, (10, 12)),
        (10.5, 20.0, (10, 16)),
        (10.5, 15.4, (10, 12)),
        (10.5, 11.5, (8, 10)),
        (10.5, 10.5, (8, 9)),
        (1.0, 1.5, (0, 1)),
        (0.0, 5.0, (0, 1)),
    ],
)
def test_a_short_caption_is_widened_to_both_sides(
    start: float, end: float, seeks: tuple[int, int]
) -> None:
    assert seek_range(start, end) == seeks


def test_milnce_takes_three_steps_and_four_captions() -> None:
    clips, seen = in_a_row([1] * 6, seconds=5.0), set()
    for seed in range(300):
        steps, chosen = MILNCESampler()(clips, 30, RNG(seed))
        assert steps.stop - steps.start == 3
        seen.add((steps.start, tuple(chosen)))
    first = {0: 0, 1: 1, 2: 2, 3: 2, 4: 2, 5: 2}
    assert seen == {
        (5 * centre + k, tuple(range(first[centre], first[centre] + 4)))
        for centre in range(6)
        for k in (0, 1)
    }


def test_milnce_repeats_captions_and_keeps_a_step_where_there_are_few() -> None:
    for seed in range(20):
        assert MILNCESampler()(in_a_row([1, 1]), 1, RNG(seed)) == (slice(0, 1), [0, 0, 0, 0])
    seen = {tuple(MILNCESampler()(in_a_row([1, 1]), 2, RNG(seed))[1]) for seed in range(20)}
    assert seen == {(0, 1, 1, 1), (0, 0, 0, 1)}


@pytest.mark.parametrize(
    ("times", "num_steps", "window"),
    [
        ((0.0, math.inf), 7, slice(0, 7)),
        ((0.0, math.inf), 1, slice(0, 1)),
        ((6.2, 99.0), 7, slice(6, 7)),
        ((5.0, 5.0), 7, slice(5, 6)),
        ((6.0, 6.0), 7, slice(6, 7)),
    ],
)
def test_fixed_len_clips_to_the_video_and_keeps_a_frame(
    times: tuple[float, float], num_steps: int, window: slice
) -> None:
    sampler = FixedLenSampler(max_video_len=4, max_len=13)
    assert sampler(clips_of(times), num_steps, RNG(0))[0] == window


@pytest.mark.parametrize("sampler", [WholeSampler(), OverlappedSampler(max_video_len=4)])
def test_a_video_without_captions_is_an_error(sampler: WholeSampler | OverlappedSampler) -> None:
    with pytest.raises(DataError, match="caption"):
        sampler(clips_of(), 5, RNG(0))


def test_captions_after_the_video_are_left_out() -> None:
    clips = clips_of((0, 1), (4.9, 9), (5, 6), words=[1, 2, 3])
    kept = clips_within(clips, 5)
    assert (kept.start.tolist(), kept.end.tolist()) == ([0, 4.9], [1, 5])
    assert kept.cap == [[0], [10, 11]]
    with pytest.raises(DataError, match="none of the 3 captions starts within the 0"):
        clips_within(clips, 0)


def test_whole_takes_the_first_or_all_captions() -> None:
    clips = in_a_row([1, 1, 1])
    assert WholeSampler()(clips, 9, RNG(0)) == (slice(0, 9), range(1))
    assert WholeSampler(captions="all")(clips, 9, RNG(0)) == (slice(0, 9), range(3))


@given(
    times=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 9)), min_size=1, max_size=6),
    words=st.lists(st.integers(0, 9), min_size=6, max_size=6),
    num_steps=st.integers(1, 25),
    keep_prob=st.sampled_from([0.5, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=200)
def test_samples_lie_in_the_video_and_are_the_same_for_the_same_generator(
    times: list[tuple[float, float]],
    words: list[int],
    num_steps: int,
    keep_prob: float,
    seed: int,
) -> None:
    times = [(start, start + length) for start, length in sorted(times)]
    times[0] = (min(times[0][0], num_steps - 1), times[0][1])
    clips = clips_of(*times, words=words[: len(times)])
    for sampler in (
        FixedLenSampler(max_video_len=6, max_len=20, keep_prob=keep_prob),
        StartClipSampler(max_video_len=6, max_len=20, keep_prob=keep_prob),
        VariedLenSampler(sampled_min_len=1, sampled_max_len=9, keep_prob=keep_prob),
        OverlappedSampler(
            max_video_len=6,
            sampled_min_len=1,
            sampled_max_len=9,
            sampled_video_min_len=2,
            keep_prob=keep_prob,
        ),
    ):
        steps, chosen = sampler(clips, num_steps, generator(seed, 1, 0))
        assert (steps, chosen) == sampler(clips, num_steps, generator(seed, 1, 0))
        assert 0 <= steps.start < steps.stop <= num_steps
        assert sorted(set(chosen)) == list(chosen)
        assert clips.start[chosen[-1]] < num_steps
        if isinstance(sampler, OverlappedSampler):
            assert min(2, num_steps) <= steps.stop - steps.start <= 6
            assert steps.start <= math.ceil(clips.end[chosen[-1]])
            assert steps.stop >= math.floor(clips.start[chosen[0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampled_min_len": 9, "sampled_max_len": 8}, "sampled_min_len 9 to sampled_max_len 8"),
        ({"sampled_video_min_len": 0}, "sampled_video_min_len 0"),
        ({"sampled_video_max_len": 5}, "within 1 to max_video_len 4"),
        ({"keep_prob": 0.0}, "keep_prob 0.0"),
    ],
)
def test_impossible_ranges_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OverlappedSampler(max_video_len=4, **arguments)


def test_varied_len_refuses_an_empty_range() -> None:
    with pytest.raises(ConfigError, match="sampled_min_len 9 to sampled_max_len 8 is no range"):
        VariedLenSampler(sampled_min_len=9, sampled_max_len=8)
    with pytest.raises(ConfigError, match="keep_prob 0"):
        VariedLenSampler(keep_prob=0.0)


def test_fixed_len_refuses_a_sequence_without_text() -> None:
    with pytest.raises(ConfigError, match="max_len 6"):
        FixedLenSampler(max_video_len=4, max_len=6)
    with pytest.raises(ConfigError, match=r"keep_prob 1\.5"):
        FixedLenSampler(max_video_len=4, max_len=9, keep_prob=1.5)


def test_a_caption_is_drawn_evenly_with_the_steps_that_it_covers() -> None:
    clips = clips_of((0.5, 1.5), (1.0, math.inf), (3.0, 3.0), (9.0, 10.0))
    sampler, rng = CaptionSampler(), RNG(3)
    steps = [slice(0, 2), slice(1, 5), slice(3, 4)]

    def draw() -> int:
        window, [chosen] = sampler(clips, 5, rng)
        assert window == steps[chosen]
        return chosen

    assert_follows(draw, dict.fromkeys(range(3), 1 / 3))
    with pytest.raises(DataError, match="none of the 0 captions"):
        sampler(clips_of(), 5, rng)


def highlights(*windows: tuple[float, float]) -> HighlightClips:
    return HighlightClips(
        start=np.array([0.0]),
        end=np.array([math.inf]),
        cap=[[7]],
        windows=np.array(windows).reshape(-1, 2),
        clip_ids=np.zeros(0, int),
        saliency=np.zeros((0, 0), int),
        duration=150.0,
    )


@pytest.mark.parametrize(
    ("window", "steps"),
    [
        ((10.0, 20.0), slice(5, 10)),
        ((0.0, 1.0), slice(0, 1)),
        ((149.0, 150.0), slice(74, 75)),
        ((150.0, 150.0), slice(74, 75)),
    ],
)
def test_a_window_that_fits_a_query_is_cut_out(window: tuple[float, float], steps: slice) -> None:
    assert HighlightSampler()(highlights(window), 75, RNG(0)) == (steps, range(1))


def test_each_window_that_fits_is_drawn_as_often() -> None:
    sampler, rng = HighlightSampler(), RNG(1)
    clips = highlights((0.0, 2.0), (10.0, 12.0))
    assert_follows(lambda: sampler(clips, 75, rng)[0].start, {0: 0.5, 5: 0.5})
    with pytest.raises(DataError, match="no window fits the query"):
        sampler(highlights(), 75, rng)
    with pytest.raises(ConfigError, match="needs HighlightClips"):
        sampler(clips_of((0.0, 1.0)), 75, rng)
