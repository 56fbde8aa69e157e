from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import TextClips
from mmvt.processors.sampling import (
    FixedLenSampler,
    OverlappedSampler,
    WholeSampler,
    clips_within,
    grow_captions,
    grow_window,
)
from mmvt.seeding import generator

RNG = np.random.default_rng


def clips_of(*times: tuple[float, float], words: list[int] | None = None) -> TextClips:
    """Return captions at the given times, caption i with words[i] tokens 10 i, 10 i + 1, …"""
    lengths = words or [1] * len(times)
    return TextClips(
        np.array([start for start, _ in times], dtype=float),
        np.array([end for _, end in times], dtype=float),
        [[10 * i + k for k in range(n)] for i, n in enumerate(lengths)],
    )


def in_a_row(words: list[int], seconds: float = 1.0) -> TextClips:
    return clips_of(*((i * seconds, (i + 1) * seconds) for i in range(len(words))), words=words)


# The laws, restated one step at a time.


def window_law(centre: int, length: int, num_steps: int) -> dict[tuple[int, int], float]:
    law: dict[tuple[int, int], float] = defaultdict(float)

    def grow(start: int, stop: int, p: float) -> None:
        left, right = start > 0, stop < num_steps
        if stop - start == length or not (left or right):
            law[start, stop] += p
            return
        share = p / (left + right)
        if left:
            grow(start - 1, stop, share)
        if right:
            grow(start, stop + 1, share)

    grow(centre, centre, 1.0)
    return dict(law)


def captions_law(
    clips: TextClips, max_words: int, centre: int, keep_prob: float
) -> dict[tuple[int, ...], float]:
    law: dict[tuple[int, ...], float] = defaultdict(float)
    last = len(clips) - 1

    def grow(chosen: tuple[int, ...], p: float) -> None:
        words = sum(len(clips.cap[i]) for i in chosen)
        span = clips.end[chosen[-1]] - clips.start[chosen[0]]
        sides = [s for s, free in ((-1, chosen[0] > 0), (1, chosen[-1] < last)) if free]
        if words >= max_words or span >= 256 or not sides:
            law[chosen] += p
            return
        for side in sides:
            for stride, chance in ((1, keep_prob), (2, 1 - keep_prob)):
                edge = chosen[0] if side < 0 else chosen[-1]
                new = min(max(edge + side * stride, 0), last)
                if chance:
                    grown = (new, *chosen) if side < 0 else (*chosen, new)
                    grow(grown, p / len(sides) * chance)

    grow((centre,), 1.0)
    return dict(law)


def assert_follows(draw: Callable[[], Hashable], law: dict, draws: int = 3000) -> None:
    seen = Counter(draw() for _ in range(draws))
    assert set(seen) <= set(law)
    for outcome, p in law.items():
        assert abs(seen[outcome] / draws - p) < 4.5 * math.sqrt(p * (1 - p) / draws) + 1e-9, outcome


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


def test_recorded_reference_samples_have_a_chance_here(shared: Path) -> None:
    samples = json.loads((shared / "golden/aligners/samplers.json").read_text())
    assert {sample["kind"] for sample in samples} == {"TextClipSampling", "VideoClipSampling"}
    for sample in samples:
        out = sample["out"]
        if sample["kind"] == "VideoClipSampling":
            width = min(sample["max_video_len"], sample["video_len"])
            start = out["start"][0]
            assert out["end"][0] - start == width
            assert any(
                min(max(sample["center"] - k, 0), sample["video_len"] - width) == start
                for k in range(width + 1)
            )
            continue
        text = sample["text_feature"]
        times = zip(text["start"], text["end"], strict=True)
        clips = clips_of(*times, words=text["cap_len"])
        fixed = sample["centerclip_idx"]
        centres = range(len(clips)) if fixed is None else [fixed]
        budget = sample["sampled_max_text_len"] or sample["max_text_len"]
        assert any(
            tuple(out) in captions_law(clips, budget, centre, sample["keep_prob"])
            for centre in centres
        )


def test_fixed_len_takes_the_time_its_captions_cover() -> None:
    clips = clips_of((0.5, 2.2), (2.2, 3.0), (3.0, 4.4), words=[2, 2, 2])
    sampler = FixedLenSampler(max_video_len=4, max_len=13)
    steps, chosen = sampler(clips, 20, RNG(0))
    assert (steps, list(chosen)) == (slice(0, 5), [0, 1, 2])


def test_fixed_len_may_exceed_the_video_part_of_the_sequence() -> None:
    sampler = FixedLenSampler(max_video_len=4, max_len=13)
    assert sampler(clips_of((0, 17.5)), 16, RNG(0))[0] == slice(0, 16)


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


def test_fixed_len_refuses_a_sequence_without_text() -> None:
    with pytest.raises(ConfigError, match="max_len 6"):
        FixedLenSampler(max_video_len=4, max_len=6)
    with pytest.raises(ConfigError, match=r"keep_prob 1\.5"):
        FixedLenSampler(max_video_len=4, max_len=9, keep_prob=1.5)
