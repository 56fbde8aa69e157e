from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from mmvt.errors import MediaError
from mmvt.features.reader import read_frames
from mmvt.features.thumbnail import thumbnail
from tests.colours import RGB, write_colours
from tests.videos import write_video


def opened(jpeg: bytes) -> np.ndarray:
    with av.open(io.BytesIO(jpeg)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.mark.parametrize(("seconds", "colour"), [(0.0, "red"), (1.5, "green"), (9.0, "blue")])
def test_picture_shows_what_is_on_display_at_a_time(
    tmp_path: Path, seconds: float, colour: str
) -> None:
    path = write_colours(tmp_path / "rgb.mp4", ["red", "green", "blue"])
    picture = opened(thumbnail(path, seconds, 32))
    assert picture.shape == (18, 32, 3)
    np.testing.assert_allclose(picture.mean((0, 1)), RGB[colour], atol=12)


def test_narrow_video_keeps_its_size(tmp_path: Path) -> None:
    path = write_colours(tmp_path / "r.mp4", ["red"])
    assert opened(thumbnail(path, 0.0)).shape == (36, 64, 3)


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_picture_is_upright(tmp_path: Path, rotation: int) -> None:
    path = write_video(tmp_path / "turned.mp4", 2, rotation=rotation)
    expected = next(read_frames(path, fps=30.0)).frames[0].astype(float)
    picture = opened(thumbnail(path, 0.0)).astype(float)
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).mean() < 12


def test_file_that_is_no_video_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(MediaError, match="broken"):
        thumbnail(path, 0.0)
