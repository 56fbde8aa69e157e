"""Captions find the steps of their time where these come at times of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.errors import ConfigError, StoreError
from mmvt.features.shard import StoreWriter
from mmvt.processors.base import TextClips
from mmvt.processors.labels import ClassClips
from mmvt.processors.video.by_time import seconds_between, steps_at
from mmvt.processors.video.experts import ExpertsVideoProcessor
from mmvt.processors.video.store import StoreVideoProcessor


def clips(*spans: tuple[float, float]) -> TextClips:
    starts, ends = np.array(spans, float).reshape(-1, 2).T
    return TextClips(starts, ends, [[number] for number in range(len(spans))])


def steps(times: list[float], *spans: tuple[float, float]) -> list[tuple[float, float]]:
    found = steps_at(clips(*spans), np.array(times, float))
    return list(zip(found.start.tolist(), found.end.tolist(), strict=True))


def test_a_caption_covers_the_steps_whose_times_are_within_it():
    assert steps([1, 4, 6, 9], (0, 2), (4, 9), (9, 12)) == [(0, 1), (1, 3), (3, 4)]


def test_a_step_at_a_border_is_of_the_caption_that_begins_there():
    assert steps([0, 5, 10], (0, 5), (5, 10), (10, 15)) == [(0, 1), (1, 2), (2, 3)]


def test_a_caption_without_an_end_goes_to_the_last_step():
    assert steps([1, 4, 6], (2, np.inf), (7, np.inf)) == [(1, 3), (2, 3)]


def test_a_caption_between_steps_gets_the_nearest():
    assert steps([1, 4, 10], (1.5, 2), (3, 3.5), (5, 6), (8, 9), (20, 21)) == [
        (0, 1),
        (1, 2),
        (1, 2),
        (2, 3),
        (2, 3),
    ]


def test_no_caption_is_none():
    assert len(steps_at(clips(), np.array([1.0]))) == 0


@given(
    times=st.lists(st.floats(0, 100), min_size=1, max_size=8).map(sorted),
    spans=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=8),
)
def test_every_caption_has_steps_of_its_video_in_order(
    times: list[float], spans: list[tuple[float, float]]
):
    found = steps(times, *sorted((start, start + length) for start, length in spans))
    assert all(0 <= first < stop <= len(times) for first, stop in found)
    assert [first for first, _ in found] == sorted(first for first, _ in found)


def test_times_that_are_out_of_order_are_refused():
    with pytest.raises(StoreError, match="the times of its steps are not in order"):
        steps([4, 1], (0, 2))


@pytest.mark.parametrize(
    ("part", "seconds"),
    [((0, 1), (0, 2)), ((1, 2), (2, 7)), ((1, 3), (2, np.inf)), ((0, 3), (0, np.inf))],
)
def test_a_step_lasts_half_the_way_to_its_neighbours(
    part: tuple[int, int], seconds: tuple[float, float]
):
    assert seconds_between(np.array([1.0, 3.0, 11.0]), slice(*part)) == seconds
    assert seconds_between(np.array([4.0]), slice(0, 1)) == (0, np.inf)


def test_labels_with_times_are_refused():
    with pytest.raises(ConfigError, match="by_time is for plain captions, not ClassClips"):
        steps_at(ClassClips(np.zeros(1), np.ones(1), [[1]], label=0, folds=(1,)), np.ones(1))


def test_stores_read_captions_by_time_where_that_is_asked_for(tmp_path: Path):
    with StoreWriter(tmp_path / "s", dim=2, fps=0.0, encoder={}) as writer:
        writer.add("v", np.ones((3, 2)), times=np.array([1.0, 4, 9]))
    said = clips((0, 2), (3, 10))
    asked = StoreVideoProcessor(store=tmp_path / "s", by_time=True)
    assert asked.in_steps("v", said).start.tolist() == [0, 1]
    assert asked.row_spans(["v"]) is None
    experts = ExpertsVideoProcessor(
        store=tmp_path / "s", experts={"e": tmp_path / "s"}, by_time=True
    )
    assert experts.in_steps("v", said).end.tolist() == [1, 3]
    assert experts.seconds_of("v", slice(1, 2)) == asked.seconds_of("v", slice(1, 2)) == (2.5, 6.5)
    whole = StoreVideoProcessor(store=tmp_path / "s").in_steps("v", said)
    assert StoreVideoProcessor(store=tmp_path / "s").seconds_of("v", slice(1, 2)) == (0, np.inf)
    assert (whole.start.tolist(), whole.end.tolist()) == ([0, 0], [np.inf, np.inf])
