from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.errors import ConfigError, DataError
from mmvt.processors.aligners.windows import Windows, window_slices
from mmvt.processors.layout import VideoTextLayout


@pytest.mark.parametrize(
    ("num_steps", "stride", "size", "expected"),
    [
        (1, 3, 6, [(0, 1)]),
        (6, 3, 6, [(0, 6)]),
        (7, 3, 6, [(0, 6), (3, 7)]),
        (9, 3, 6, [(0, 6), (3, 9)]),
        (14, 3, 6, [(0, 6), (3, 9), (6, 12), (9, 14)]),
        (4, 2, 2, [(0, 2), (2, 4)]),
        (3, 1, 1, [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_windows_stop_at_the_first_that_reaches_the_end(
    num_steps: int, stride: int, size: int, expected: list[tuple[int, int]]
) -> None:
    assert [(s.start, s.stop) for s in window_slices(num_steps, stride, size)] == expected


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 40))
def test_every_step_is_in_a_window_and_only_the_last_may_be_short(
    num_steps: int, stride: int, more: int
) -> None:
    size = stride + more
    windows = window_slices(num_steps, stride, size)
    assert {step for w in windows for step in range(w.start, w.stop)} == set(range(num_steps))
    assert all(w.stop - w.start == size for w in windows[:-1])
    assert all(w.stop < num_steps for w in windows[:-1])


@pytest.fixture(scope="module")
def layout(tiny_bert: str) -> VideoTextLayout:
    return VideoTextLayout(max_video_len=4, max_len=9, bert_name=tiny_bert)


def test_windows_have_a_text_of_separators_that_hides_the_first_token(
    layout: VideoTextLayout, tiny_bert: str
) -> None:
    windows = Windows(layout=layout, bert_name=tiny_bert, max_video_len=4, stride=2, size=3)
    steps, example = windows(np.arange(5, dtype=np.float16)[:, None])
    assert steps == [slice(0, 3), slice(2, 5)]
    assert example["vfeats"][..., 0].tolist() == [[0, 1, 2, 0], [2, 3, 4, 0]]
    assert example["vmasks"].tolist() == [[True, True, True, False]] * 2
    assert example["caps"].tolist() == [[2, 3, 0, 3]] * 2
    assert example["cmasks"].tolist() == [[False, True, False, True]] * 2
    assert (example["num_windows"], example["video_len"]) == (2, 5)
    assert windows(np.zeros((4, 9, 2)))[1]["vfeats"].shape == (2, 4, 9, 2)


@pytest.mark.parametrize(("stride", "size"), [(0, 3), (3, 2), (2, 5)])
def test_windows_that_would_lose_steps_are_refused(
    layout: VideoTextLayout, tiny_bert: str, stride: int, size: int
) -> None:
    with pytest.raises(ConfigError, match="or steps of the video are in no window"):
        Windows(layout=layout, bert_name=tiny_bert, max_video_len=4, stride=stride, size=size)


@pytest.mark.faults
def test_a_video_without_steps_is_refused(layout: VideoTextLayout, tiny_bert: str) -> None:
    windows = Windows(layout=layout, bert_name=tiny_bert, max_video_len=4, stride=2, size=3)
    with pytest.raises(DataError, match="the video has no step"):
        windows(np.zeros((0, 2)))
