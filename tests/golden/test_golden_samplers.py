"""The golden case ``aligners/samplers``: what the original's samplers drew, held against our laws.

The draws themselves depend on the order in which Python's generator was asked; that each of them
has a chance in a law, and that our samplers follow the same law, is what can be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmvt.processors.sampling import grow_captions, grow_window
from tests.golden.conftest import Golden
from tests.laws import assert_follows, captions_law, clips_of, window_law

pytestmark = pytest.mark.golden
DRAWS = 300


def test_every_recorded_sample_has_a_chance_and_ours_follow_its_law(golden: Golden) -> None:
    checks = {"TextClipSampling": check_captions, "VideoClipSampling": check_video}
    samples = golden.json("aligners/samplers.json")
    assert {sample["kind"] for sample in samples} <= set(checks)
    for sample in samples:
        checks[sample["kind"]](sample, np.random.default_rng(sample["seed"]))


def check_video(sample: dict[str, Any], rng: np.random.Generator) -> None:
    where = (sample["center"], sample["max_video_len"], sample["video_len"])
    width = min(where[1], where[2])
    start, end = (sample["out"][key] for key in ("start", "end"))
    assert len(start) == len(end) == 1
    law = window_law(*where)
    assert law[start[0], end[0]] > 0
    assert end[0] - start[0] == width

    def draw() -> tuple[int, int]:
        window = grow_window(*where, rng)
        return window.start, window.stop

    assert_follows(draw, law, DRAWS)


def check_captions(sample: dict[str, Any], rng: np.random.Generator) -> None:
    text = sample["text_feature"]
    clips = clips_of(*zip(text["start"], text["end"], strict=True), words=text["cap_len"])
    budget = sample["sampled_max_text_len"] or sample["max_text_len"]
    fixed, keep_prob = sample["centerclip_idx"], sample["keep_prob"]
    centres = range(len(clips)) if fixed is None else [fixed]
    law: dict[tuple[int, ...], float] = {}
    for centre in centres:
        for chosen, p in captions_law(clips, budget, centre, keep_prob).items():
            law[chosen] = law.get(chosen, 0.0) + p / len(centres)
    assert law[tuple(sample["out"])] > 0
    assert_follows(
        lambda: tuple(grow_captions(clips, budget, rng, centre=fixed, keep_prob=keep_prob)),
        law,
        DRAWS,
    )
