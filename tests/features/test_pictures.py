"""Pictures of frames: the same bytes as FFmpeg's straight way, whatever the frame."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.errors import MediaError
from mmvt.features.pictures import Pictures, linked, pulled

LOWEST, HIGHEST = 60, 180
MATRICES = {"bt709": 1, "unsaid": 2, "bt470bg": 5, "smpte170m": 6, "bt2020": 9}


def noise(
    width: int, height: int, *, low: int = LOWEST, high: int = HIGHEST, name: str = "yuv420p"
) -> VideoFrame:
    """Return a frame of neighbouring values that differ a little, between two bounds."""
    rng = np.random.default_rng(width * height)
    frame = VideoFrame(width, height, name)
    frame.pts, frame.time_base = 0, Fraction(1, 30)
    for plane in frame.planes:
        values = np.cumsum(rng.integers(-3, 4, plane.buffer_size))
        plane.update((values % (high - low) + low).astype(np.uint8).tobytes())
    return frame


def straight(frame: VideoFrame, size: tuple[int, int], crop: int | None) -> np.ndarray:
    """Return what FFmpeg's command line makes of a frame."""
    steps = [("scale", f"{size[0]}:{size[1]}:flags=bicubic")]
    steps += [] if crop is None else [("crop", f"{crop}:{crop}")]
    graph = linked(frame, [*steps, ("format", "rgb24")])
    graph.vpush(frame)
    (picture,) = pulled(graph)
    return picture.to_ndarray()


@settings(deadline=None)
@given(
    half_width=st.integers(40, 500),
    height=st.integers(70, 800),
    side=st.integers(1, 300),
    share=st.floats(0.01, 1) | st.none(),
    matrix=st.sampled_from(list(MATRICES.values())),
    said_range=st.integers(0, 2),
    bounds=st.sampled_from([(LOWEST, HIGHEST), (0, 256)]),
    even=st.booleans(),
)
def test_pictures_are_those_of_ffmpeg_to_the_byte(
    half_width: int,
    height: int,
    side: int,
    share: float | None,
    matrix: int,
    said_range: int,
    bounds: tuple[int, int],
    even: bool,
) -> None:
    width = 2 * half_width if even else 2 * half_width + 1
    frame = noise(width, height, low=bounds[0], high=bounds[1])
    frame.colorspace, frame.color_range = matrix, said_range
    short, long = min(width, height), max(width, height)
    other = max(1, (2 * long * side + short) // (2 * short))
    size = (side, other) if width <= height else (other, side)
    crop = None if share is None else max(1, int(share * side))
    made = Pictures(frame, side, crop)(frame).to_ndarray()
    np.testing.assert_array_equal(made, straight(frame, size, crop))
    assert (frame.colorspace, frame.color_range) == (matrix, said_range)


@pytest.mark.parametrize("name", ["yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "gray"])
def test_other_formats_go_the_straight_way(name: str) -> None:
    frame = noise(640, 360, name=name)
    made = Pictures(frame, 224, 224)(frame).to_ndarray()
    np.testing.assert_array_equal(made, straight(frame, (398, 224), 224))


def test_a_picture_whose_colours_leave_the_range_of_a_byte_goes_the_straight_way() -> None:
    frame = noise(1280, 720)
    pictures = Pictures(frame, 224, 224)
    pictures(frame)
    stripes = np.zeros((720, 1280), np.uint8)
    stripes[:, ::9] = 255
    hard = noise(1280, 720)
    hard.planes[0].update(stripes.tobytes())
    made = pictures(hard).to_ndarray()
    np.testing.assert_array_equal(made, straight(hard, (398, 224), 224))


def test_a_picture_of_the_stored_size_is_only_converted() -> None:
    frame = noise(64, 48)
    made = Pictures(frame, None, None)(frame).to_ndarray()
    np.testing.assert_array_equal(made, frame.to_ndarray(format="rgb24"))


def test_a_crop_that_is_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(MediaError, match=r"64 x 48 pixels are too few for a crop of 49"):
        Pictures(noise(64, 48), None, 49)
