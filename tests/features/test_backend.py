"""Where videos are turned into features: in order, each with its features or its reason."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mmvt.features.backend import LocalBackend
from mmvt.features.find import Video, find_videos
from mmvt.features.steps import FrameOptions, encoding_of
from tests.faults.runs import ColourEncoder
from tests.videos import write_video

ENCODING = encoding_of(ColourEncoder(frame_size=48), FrameOptions(fps=10.0), "float32", 2)


@pytest.fixture
def videos(tmp_path: Path) -> list[Video]:
    for number, count in enumerate([60, 1, 7, 30, 2]):
        write_video(tmp_path / f"{number}.mp4", count, width=48)
    (tmp_path / "2.mp4").write_bytes(b"")
    return find_videos(tmp_path).videos


@pytest.mark.parametrize(("workers", "decoders"), [(1, 1), (2, 3), (3, 2)])
def test_videos_come_in_order_with_all_their_steps(
    videos: list[Video], workers: int, decoders: int
) -> None:
    found = list(LocalBackend(workers, decoders).features(videos, ENCODING))
    assert [item.video for item in found] == videos
    assert [item.reason for item in found] == [None, None, "is empty (0 bytes)", None, None]
    assert [sum(len(part.rows) for part in item.parts) for item in found] == [20, 1, 0, 10, 1]
    assert [item.duration for item in found] == pytest.approx(
        [2.0, 1 / 30, None, 1.0, 2 / 30], abs=0.01
    )
    alone = list(LocalBackend().features(videos[:1], ENCODING))
    for part, other in zip(found[0].parts, alone[0].parts, strict=True):
        np.testing.assert_array_equal(part.rows, other.rows)
        np.testing.assert_array_equal(part.times, other.times)


def test_more_workers_than_chunks_leave_no_decoder_waiting(videos: list[Video]) -> None:
    # a decoder may be four videos ahead: that many chunks are less than the workers would hold
    short = [videos[1], videos[4]] * 5
    found = list(LocalBackend(workers=20).features(short, ENCODING))
    assert [item.video for item in found] == short


def test_who_needs_no_more_ends_it_early(videos: list[Video]) -> None:
    with closing(LocalBackend(decoders=2).features(videos * 5, ENCODING)) as found:
        assert next(found).video == videos[0]
    assert list(found) == []


def test_no_videos_give_nothing() -> None:
    assert list(LocalBackend().features([], ENCODING)) == []
