from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError, StoreError
from mmvt.features.shard import StoreWriter
from mmvt.processors.video.store import StoreVideoProcessor


def store_of(folder: Path, grid: int = 1, fps: float = 1.0, **videos: np.ndarray) -> Path:
    encoder = {"name": "test"}
    with StoreWriter(folder, dim=2, grid=grid, fps=fps, encoder=encoder) as writer:
        for video_id, rows in videos.items():
            writer.add(video_id, rows)
    return folder


def test_features_are_those_that_were_stored(tmp_path: Path) -> None:
    rows = np.array([[1, 2], [3, 4], [5, 6]], np.float16)
    processor = StoreVideoProcessor(store=store_of(tmp_path / "s", fps=0.5, v=rows[:1], w=rows))
    assert np.array_equal(processor("v"), rows[:1])
    assert np.array_equal(processor("w"), rows)
    assert processor.fps == 0.5
    assert "w" in processor
    assert "x" not in processor


def test_many_ids_are_looked_up_at_once(tmp_path: Path) -> None:
    videos = {f"v{number}": np.ones((number, 2), np.float16) for number in range(1, 4)}
    processor = StoreVideoProcessor(store=store_of(tmp_path / "s", **videos))
    assert processor.contains(["v3", "x", "v1"]).tolist() == [True, False, True]
    spans = processor.row_spans(["v3", "v1", "v3"])
    assert spans is not None
    assert (spans.first.tolist(), spans.length.tolist()) == ([3, 0, 3], [3, 1, 3])


def test_a_grid_stays_a_grid(tmp_path: Path) -> None:
    rows = np.arange(24, dtype=np.float16).reshape(3, 4, 2)
    processor = StoreVideoProcessor(store=store_of(tmp_path / "s", grid=2, v=rows), grid=2)
    assert np.array_equal(processor("v"), rows)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"input_dim": 3}, "dim is 2, not 3"),
        ({"grid": 2}, "grid is 1, not 2"),
        ({"fps": 2.0}, r"fps is 1\.0, not 2\.0"),
        ({"fps": 2.0, "input_dim": 1}, r"dim is 2, not 1; fps is 1\.0, not 2\.0"),
    ],
)
def test_a_store_of_another_kind_is_refused_with_both_values(
    tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    folder = store_of(tmp_path / "s", v=np.ones((1, 2), np.float16))
    assert StoreVideoProcessor(store=folder, input_dim=2, grid=1, fps=1.0).fps == 1
    with pytest.raises(StoreError, match=message):
        StoreVideoProcessor(store=folder, **asked)


def test_missing_videos_and_stores_are_named(tmp_path: Path) -> None:
    processor = StoreVideoProcessor(store=store_of(tmp_path / "s", v=np.ones((1, 2), np.float16)))
    with pytest.raises(StoreError, match="'gone'"):
        processor("gone")
    with pytest.raises(DataError, match="leads out"):
        processor("../v")
    with pytest.raises(StoreError, match="no feature store"):
        StoreVideoProcessor(store=tmp_path / "none")
