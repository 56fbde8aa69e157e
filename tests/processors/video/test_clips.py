from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import StoreError
from mmvt.processors.base import VideoProcessor
from mmvt.processors.video.clips import ClipVideoProcessor, clip_id, split_clip
from mmvt.processors.video.npy import NpyVideoProcessor


@pytest.fixture
def videos(tmp_path: Path) -> NpyVideoProcessor:
    for name in ("v", "-v", "v.mp4", "a@b"):
        np.save(tmp_path / f"{name}.npy", np.arange(20, dtype=np.float32)[:, None])
    return NpyVideoProcessor(vfeat_dir=tmp_path, fps=2.0)


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [(47.0, 60.0, "v@47-60"), (0.28, 55.15, "v@0.28-55.15"), (0.0, 1e6, "v@0-1000000")],
)
def test_an_id_holds_the_times_and_gives_them_back(start: float, end: float, name: str) -> None:
    assert clip_id("v", start, end) == name
    assert split_clip(name) == ("v", start, end)


def test_an_id_without_times_is_a_whole_video() -> None:
    for name in ("v", "35034348999@N01_6060447507.mov", "v@3", "v@3-x", "v_1-2"):
        assert split_clip(name) == (name, 0.0, np.inf)


@pytest.mark.parametrize(
    ("video_id", "first", "count"),
    [
        ("v", 0, 20),
        ("v@0-3", 0, 6),
        ("v@1.3-2.6", 2, 4),
        ("v@4-4", 8, 1),
        ("v@9-12", 18, 2),
        ("-v@1-2", 2, 2),
        ("a@b@1-2", 2, 2),
    ],
)
def test_a_part_is_every_step_that_its_seconds_touch(
    videos: NpyVideoProcessor, video_id: str, first: int, count: int
) -> None:
    clips = ClipVideoProcessor(videos=videos)
    assert clips.fps == 2.0
    assert video_id in clips
    assert clips(video_id)[:, 0].tolist() == list(range(first, first + count))


def test_names_in_annotations_may_lack_the_ending_of_the_files(videos: NpyVideoProcessor) -> None:
    clips = ClipVideoProcessor(videos=videos, suffix=".mp4")
    assert len(clips("v@0-1")) == 2
    assert "v@0-1" in clips
    assert "gone@0-1" not in clips


class Endless(VideoProcessor):
    """One row a video; it cannot tell what it holds."""

    fps = 0.0

    def __call__(self, video_id: str) -> np.ndarray:
        return np.zeros((4, 1))


@pytest.mark.parametrize(
    ("video_id", "seconds"),
    [("v", (0.5, 1.5)), ("v@0-3", (0.5, 1.5)), ("v@1.3-2.6", (1.5, 2.5)), ("v@4-9", (4.5, 5.5))],
)
def test_steps_of_a_part_have_their_seconds_in_the_whole_video(
    videos: NpyVideoProcessor, video_id: str, seconds: tuple[float, float]
) -> None:
    processor = ClipVideoProcessor(videos=videos, suffix=".mp4")
    assert processor.seconds_of(video_id, slice(1, 3)) == seconds
    assert processor.name_of(video_id) == "v.mp4"


def test_where_nobody_can_tell_what_there_is_all_may_be() -> None:
    assert "v@1-2" in ClipVideoProcessor(videos=Endless())


@pytest.mark.faults
def test_a_part_that_is_not_there_is_refused(videos: NpyVideoProcessor) -> None:
    with pytest.raises(StoreError, match="starts at step 20, but the features of 'v' have only 20"):
        ClipVideoProcessor(videos=videos)("v@10-12")
    with pytest.raises(StoreError, match="steady number of steps a second"):
        ClipVideoProcessor(videos=Endless())("v@1-2")
