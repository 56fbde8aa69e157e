"""Frames at given times."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmvt.features.media import VideoFile
from mmvt.features.select import frames_at, segment_midpoints
from tests.videos import number_of, write_video


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [3.0]), (2, [1.5, 4.5]), (4, [0.75, 2.25, 3.75, 5.25])]
)
def test_midpoints_of_equal_segments(count: int, expected: list[float]) -> None:
    assert segment_midpoints(6.0, count) == expected


def test_no_segment_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        segment_midpoints(6.0, 0)


def shown(path: Path, times: list[float]) -> list[int]:
    with VideoFile(path) as video:
        found = frames_at(video, video.timeline(), times)
        return [number_of(frame.to_ndarray(format="rgb24")) for _, frame in found]


def test_a_frame_is_shown_until_the_next_one_starts(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", 20, rate=10)
    assert shown(path, [0.0, 0.09, 0.1, 0.11, 1.0, 1.99]) == [0, 0, 1, 1, 10, 19]


def test_times_outside_the_video_give_its_first_and_last_frame(tmp_path: Path) -> None:
    assert shown(write_video(tmp_path / "v.mp4", 20, rate=10), [-1.0, 99.0]) == [0, 19]


def test_a_time_may_be_asked_twice(tmp_path: Path) -> None:
    assert shown(write_video(tmp_path / "v.mp4", 20, rate=10), [0.5, 0.5, 1.5, 1.5]) == [
        5,
        5,
        15,
        15,
    ]


def test_the_timeline_knows_the_end_and_where_decoding_can_start(tmp_path: Path) -> None:
    options = {"g": "10", "sc_threshold": "0"}
    with VideoFile(write_video(tmp_path / "v.mp4", 40, rate=10, options=options)) as video:
        timeline = video.timeline()
    assert timeline.end == pytest.approx(4.0)
    assert timeline.keyframes.tolist() == pytest.approx([0, 1, 2, 3])
    assert [timeline.keyframe_before(t) for t in (-1.0, 0.0, 0.99, 1.0, 9.0)] == pytest.approx(
        [0, 0, 0, 1, 3]
    )
