from __future__ import annotations

import math

import numpy as np
import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import TextClips
from mmvt.processors.labels import (
    ChoiceClips,
    MomentClips,
    SpanClips,
    Spans,
    StepClips,
    labelled,
)

WHOLE = {"start": np.zeros(1), "end": np.full(1, np.inf), "cap": [[5]]}


def spans_of(*spans: tuple[int, float, float]) -> Spans:
    labels, starts, ends = zip(*spans, strict=True)
    return Spans(np.array(labels), np.array(starts, float), np.array(ends, float))


def test_a_part_reaches_over_every_step_that_it_touches() -> None:
    spans = spans_of((3, 0.4, 2.1), (7, 3.0, 5.0), (9, 5.0, 9.5), (1, 8.0, 9.0))
    assert spans.steps(6) == [
        (3, slice(0, 3)),
        (7, slice(3, 5)),
        (9, slice(5, 6)),
        (1, slice(8, 6)),  # empty: it lies behind the end
    ]


def test_all_times_are_scaled_to_steps() -> None:
    clips = StepClips(**WHOLE, spans=spans_of((0, 1.5, 2.0)), task="t").scaled(2.0)
    assert isinstance(clips, StepClips)
    assert (clips.spans.start.tolist(), clips.spans.end.tolist()) == ([3.0], [4.0])
    assert (clips.end.tolist(), clips.cap, clips.task) == ([math.inf], [[5]], "t")
    moment = MomentClips(**WHOLE, moments=np.array([[0, 2]]), chunk=5.0).scaled(0.5)
    assert (moment.chunk, moment.moments.tolist()) == (2.5, [[0, 2]])


@pytest.mark.faults
def test_parts_need_a_steady_number_of_steps_a_second() -> None:
    with pytest.raises(DataError, match="steady number of steps a second"):
        SpanClips(**WHOLE, spans=spans_of((1, 0, 1))).scaled(0.0)


def test_labels_of_another_kind_are_named() -> None:
    clips = ChoiceClips(**WHOLE, answer=0)
    assert labelled(clips, ChoiceClips) is clips
    with pytest.raises(ConfigError, match="needs ChoiceClips, but the text processor gives Text"):
        labelled(TextClips(**WHOLE), ChoiceClips)
