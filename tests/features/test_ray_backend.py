"""What a node of a Ray cluster does, and what is refused before one is joined.

Clusters that run are in tests/faults/test_extraction_cluster.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import LaunchError, StoreError
from mmvt.features.backend import LocalBackend
from mmvt.features.find import Video, find_videos
from mmvt.features.ray_backend import EncodingRecipe, Order, RayBackend, encoded, named_encoder
from mmvt.features.steps import FrameOptions, encoding_of
from tests.faults.runs import ColourEncoder
from tests.videos import write_video

FRAMES = FrameOptions(num_segments=2)
RECIPE = EncodingRecipe(ColourEncoder, (), FRAMES)
ENCODING = encoding_of(ColourEncoder(), FRAMES, "float16", 4)


@pytest.fixture
def videos(tmp_path: Path) -> list[Video]:
    for number in range(3):
        write_video(tmp_path / f"{number}.mp4", 5 + number)
    (tmp_path / "1.mp4").write_text("no video")
    return find_videos(tmp_path).videos


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(RECIPE, ENCODING.made_by, str(tmp_path), decoders=2, time_limit=60.0)


def test_a_node_finds_what_this_process_would(videos: list[Video], order: Order) -> None:
    for ours, theirs in zip(
        LocalBackend().features(videos, ENCODING), encoded(videos, order), strict=True
    ):
        assert (ours.video, ours.reason, ours.duration) == (
            theirs.video,
            theirs.reason,
            theirs.duration,
        )
        for part, other in zip(ours.parts, theirs.parts, strict=True):
            np.testing.assert_array_equal(part.rows, other.rows)


def test_relative_paths_are_of_the_folder_of_the_run(videos: list[Video], order: Order) -> None:
    relative = [Video(video.id, Path(video.path.name)) for video in videos]
    before = Path.cwd()
    assert [item.reason is None for item in encoded(relative, order)] == [True, False, True]
    assert Path.cwd() == before


def test_a_file_that_a_node_lacks_fails_by_the_name_of_the_node(order: Order) -> None:
    (found,) = encoded([Video("v", Path("gone.mp4"))], replace(order, folder="/gone"))
    assert found.reason is not None
    assert found.reason.startswith("is not there on the node ")


def test_a_node_with_another_encoder_is_refused(videos: list[Video], order: Order) -> None:
    made_by = {**ENCODING.made_by, "weights_sha256": "b"}
    with pytest.raises(StoreError, match="the node .* encodes with .*'a'.*, the run with .*'b'"):
        encoded(videos, replace(order, made_by=made_by))


def test_an_encoder_is_made_by_its_name() -> None:
    encoder = named_encoder("EfficientNetLite0", '{"frame_size": 64}')
    assert (type(encoder).__name__, encoder.dim) == ("EfficientNetLite0", 1280)


def test_a_cluster_that_is_not_there_is_an_error(videos: list[Video]) -> None:
    pytest.importorskip("ray")
    backend = RayBackend(RECIPE, address="127.0.0.1:1")
    with pytest.raises(LaunchError, match="no Ray cluster answers at 127.0.0.1:1"):
        list(backend.features(videos, ENCODING))
    assert list(backend.features([], ENCODING)) == []
