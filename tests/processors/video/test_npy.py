from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import DataError, StoreError
from mmvt.processors.video.npy import NpyVideoProcessor


@pytest.fixture
def processor(tmp_path: Path) -> NpyVideoProcessor:
    (tmp_path / "features").mkdir()
    return NpyVideoProcessor(vfeat_dir=tmp_path / "features", fps=2.0)


@pytest.mark.parametrize("shape", [(1, 4), (3, 4), (3, 2, 4)])
def test_features_are_returned_as_they_are(
    processor: NpyVideoProcessor, shape: tuple[int, ...]
) -> None:
    features = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    np.save(processor.vfeat_dir / "Küche 1.mp4.npy", features)
    assert "Küche 1.mp4" in processor
    assert np.array_equal(processor("Küche 1.mp4"), features)
    assert processor.fps == 2


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((0, 4), np.float32), r"is empty, of shape \(0, 4\)"),
        (np.zeros((4, 0), np.float32), "is empty"),
        (np.zeros(4, np.float32), "is not .steps, dim."),
        (np.zeros((1, 1, 1, 1), np.float32), "is not .steps, dim."),
        (np.zeros((2, 2), np.int64), "holds int64"),
        (np.array([[1, np.nan]], np.float16), "holds NaN"),
        (np.array([[1, -np.inf]], np.float16), "holds NaN or infinite"),
    ],
)
def test_unusable_features_are_refused_by_file(
    processor: NpyVideoProcessor, features: np.ndarray, message: str
) -> None:
    np.save(processor.vfeat_dir / "v.npy", features)
    with pytest.raises(StoreError, match=rf"v\.npy: {message}"):
        processor("v")


def test_a_missing_or_damaged_file_is_named(processor: NpyVideoProcessor) -> None:
    assert "v" not in processor
    assert "v" * 255 not in processor
    with pytest.raises(StoreError, match=r"v\.npy: cannot be read as features: .*No such file"):
        processor("v")
    np.save(processor.vfeat_dir / "v.npy", np.ones((4, 4)))
    whole = (processor.vfeat_dir / "v.npy").read_bytes()
    for damaged in (b"", b"text", whole[:-1]):
        (processor.vfeat_dir / "v.npy").write_bytes(damaged)
        with pytest.raises(StoreError, match=r"v\.npy: cannot be read as features"):
            processor("v")


class Planted:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return open, (self.path, "w")  # type: ignore[return-value]


def test_pickled_objects_are_never_loaded(processor: NpyVideoProcessor, tmp_path: Path) -> None:
    planted = Planted(tmp_path / "ran")
    np.save(processor.vfeat_dir / "v.npy", np.array([planted], dtype=object), allow_pickle=True)
    (processor.vfeat_dir / "w.npy").write_bytes(pickle.dumps(planted))
    for video_id in "vw":
        with pytest.raises(StoreError, match="cannot be read as features"):
            processor(video_id)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("video_id", ["../secret", "/etc/passwd", "a\0b", ""])
def test_ids_that_are_no_names_are_refused(processor: NpyVideoProcessor, video_id: str) -> None:
    with pytest.raises(DataError):
        processor(video_id)


def test_a_link_out_of_the_folder_is_refused(processor: NpyVideoProcessor, tmp_path: Path) -> None:
    np.save(tmp_path / "secret.npy", np.ones((1, 1)))
    (processor.vfeat_dir / "v.npy").symlink_to(tmp_path / "secret.npy")
    with pytest.raises(StoreError, match="leads out of"):
        processor("v")


def test_a_folder_behind_a_link_is_fine(processor: NpyVideoProcessor, tmp_path: Path) -> None:
    np.save(processor.vfeat_dir / "v.npy", np.ones((1, 1)))
    (tmp_path / "link").symlink_to(processor.vfeat_dir)
    assert NpyVideoProcessor(vfeat_dir=tmp_path / "link")("v").shape == (1, 1)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="none is no folder of features"):
        NpyVideoProcessor(vfeat_dir=tmp_path / "none")
