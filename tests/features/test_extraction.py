from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvt.config.recipe import Recipe
from mmvt.datasets.store import FeatureStore
from mmvt.errors import ConfigError, DataError, MediaError
from mmvt.features.base import FeatureEncoder
from mmvt.features.extract import extract
from mmvt.features.extraction import Extraction, centre_crop, pixels
from mmvt.features.find import Video
from tests.colours import PLUGIN, write_colour_task, write_colours


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> type[FeatureEncoder]:
    path = tmp_path_factory.mktemp("plugin") / "colour_features.py"
    path.write_text(PLUGIN)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    encoder: type[FeatureEncoder] = module.ColourFeatures
    return encoder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return four seconds: red, green, blue, blue."""
    folder = tmp_path_factory.mktemp("videos")
    return write_colours(folder / "rgbb.mp4", ["red", "green", "blue", "blue"])


def named(rows: np.ndarray) -> str:
    return "".join("rgb"[int(row.argmax())] for row in rows)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "rgbb"),
        ({"fps": 1.0}, "rgbb"),
        ({"fps": 2.0}, "rrggbbbb"),
        ({"segments": 1}, "b"),
        ({"segments": 2}, "gb"),
        ({"segments": 8}, "rrggbbbb"),
    ],
)
def test_file_and_its_frames_give_the_same_steps(
    colours: type[FeatureEncoder], video: Path, options: dict[str, float], expected: str
) -> None:
    extraction = Extraction(encoder=colours(), **options)  # type: ignore[arg-type]
    rows, duration = extraction.from_file(video)
    assert (named(rows), duration) == (expected, 4.0)
    shown = {"r": (220, 20, 20), "g": (20, 220, 20), "b": (20, 20, 220)}
    seconds = torch.tensor([shown[name] for name in "rgbb"], dtype=torch.uint8)
    frames = seconds.repeat_interleave(4, 0)[:, None, None].expand(-1, 36, 64, -1)
    np.testing.assert_allclose(extraction.from_frames(frames, 4.0), rows, atol=0.05)


def test_store_and_file_hold_the_same_features(
    colours: type[FeatureEncoder], video: Path, tmp_path: Path
) -> None:
    extraction = Extraction(encoder=colours(), segments=3, short_side=40)
    extract([Video("a", video)], extraction.encoder, tmp_path, extraction.frames)
    np.testing.assert_allclose(
        FeatureStore.open(tmp_path)["a"], extraction.from_file(video).rows, atol=1e-3
    )


def test_clips_take_several_frames_a_step_and_the_last_one_stands_still(
    colours: type[FeatureEncoder], video: Path
) -> None:
    extraction = Extraction(encoder=colours(clip_frames=3), fps=1.0)
    assert named(extraction.from_file(video).rows) == "rgbb"
    frames = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    frames[3] = 255
    rows = extraction.from_frames(frames, 3.0)
    np.testing.assert_allclose(rows[:, 0], [-1.0, 1.0])


def test_edges_of_steps_cover_the_video(colours: type[FeatureEncoder]) -> None:
    by_rate, by_parts = (
        Extraction(encoder=colours(), fps=2.0),
        Extraction(encoder=colours(), segments=4),
    )
    assert by_rate.edges(3, 1.4).tolist() == [0.0, 0.5, 1.0, 1.4]
    assert by_rate.edges(3, 0.9).tolist() == [0.0, 0.5, 1.0, 1.5]
    assert by_rate.edges(3, None).tolist() == [0.0, 0.5, 1.0, 1.5]
    assert by_parts.edges(4, 10.0).tolist() == [0.0, 2.5, 5.0, 7.5, 10.0]
    assert by_parts.edges(4, None).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_middle_of_a_frame_is_cut_out() -> None:
    frame = torch.zeros(1, 40, 80, 3, dtype=torch.uint8)
    frame[:, 10:30, 30:50] = 255
    assert (centre_crop(frame, 40, 20) == 255).all()
    assert centre_crop(frame, 20, 16).shape == (1, 16, 16, 3)
    small = frame[:, :20, :20]
    assert centre_crop(small, 40, 20) is small


def test_floats_stay_floats_when_they_are_cut() -> None:
    frame = torch.rand(1, 40, 80, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(centre_crop(frame[:, :, :40], 40, 40), frame[:, :, :40])
    cut = centre_crop(frame, 20, 16)
    as_bytes = centre_crop((frame * 255).round().to(torch.uint8), 20, 16)
    torch.testing.assert_close(cut, as_bytes / 255, atol=1 / 255, rtol=0)
    assert cut.min() >= 0
    assert cut.max() <= 1


def test_floats_become_bytes_unless_they_are_wanted(caplog: pytest.LogCaptureFixture) -> None:
    frames = torch.tensor([0.0, 0.5, 1.0]).expand(1, 2, 2, 3)
    assert pixels(frames)[0, 0, 0].tolist() == [0, 128, 255]
    assert pixels(pixels(frames)).dtype == torch.uint8
    assert pixels(frames, keep_floats=True) is frames
    assert not caplog.messages
    assert pixels(frames * 2, keep_floats=True).max() == 2
    assert "not from 0 to 1" in caplog.text


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(2, 3, 3, 4), r"must end with height, width, 3"),
        (torch.zeros(2, 3, 3, 3, dtype=torch.int64), "uint8, or floats from 0 to 1"),
        (torch.full((2, 3, 3, 3), 1.5), "not from 0 to 1"),
        (torch.full((2, 3, 3, 3), float("nan")), "not from 0 to 1"),
    ],
)
def test_other_frames_are_refused(frames: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pixels(frames)


def test_infinite_floats_are_refused_even_where_floats_are_wanted() -> None:
    with pytest.raises(DataError, match="not all are finite"):
        pixels(torch.full((1, 2, 2, 3), float("inf")), keep_floats=True)


def test_fingerprint_tells_choices_apart(colours: type[FeatureEncoder]) -> None:
    choices = [{"fps": 1.0}, {"fps": 2.0}, {"segments": 1}, {"fps": 1.0, "short_side": 33}]
    prints = [Extraction(encoder=colours(), **one).fingerprint for one in choices]  # type: ignore[arg-type]
    assert all(prints[i] != prints[j] for i in range(4) for j in range(i))
    assert Extraction(encoder=colours()).fingerprint == prints[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 1.0, "segments": 8}, "fps or segments, not both"),
        ({"fps": 0.0}, "features.fps is 0.0"),
        ({"fps": float("nan")}, "features.fps is nan"),
        ({"segments": 0}, "features.segments is 0"),
        ({"short_side": 31}, "short_side is 31, but ColourFeatures takes 32"),
    ],
)
def test_impossible_choices_are_refused(
    colours: type[FeatureEncoder], options: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Extraction(encoder=colours(), **options)  # type: ignore[arg-type]


def test_segments_of_clips_are_refused(colours: type[FeatureEncoder]) -> None:
    with pytest.raises(ConfigError, match="takes clips of 2 frames"):
        Extraction(encoder=colours(clip_frames=2), segments=8)


def test_encoder_with_a_rate_of_its_own_gives_that_one(colours: type[FeatureEncoder]) -> None:
    encoder = colours(clip_frames=2)
    encoder.frames_per_second = 4.0
    assert Extraction(encoder=encoder).fps == 2.0
    assert Extraction(encoder=encoder, fps=2.0).fps == 2.0
    with pytest.raises(ConfigError, match="fps is 1, but ColourFeatures gives 2 steps a second"):
        Extraction(encoder=encoder, fps=1.0)


def test_nothing_to_read_is_an_error(colours: type[FeatureEncoder], tmp_path: Path) -> None:
    extraction = Extraction(encoder=colours())
    with pytest.raises(DataError, match="has no frame"):
        extraction.from_frames(torch.zeros(0, 32, 32, 3, dtype=torch.uint8), 1.0)
    with pytest.raises(MediaError, match=r"absent\.mp4"):
        extraction.from_file(tmp_path / "absent.mp4")


def test_section_of_the_yaml_builds_it(tmp_path: Path) -> None:
    task = write_colour_task(tmp_path)
    recipe = Recipe.load(task, ["features.short_side=40"])
    assert recipe.extraction().short_side == 40
    with pytest.raises(ConfigError, match="features.segmets is used by .* did you mean 'segments'"):
        Recipe.load(task, ["features.segmets=2"])
    bare = Recipe.load(task, ["features=null"])
    with pytest.raises(ConfigError, match=r"colours\.yaml: features is missing"):
        bare.extraction()
