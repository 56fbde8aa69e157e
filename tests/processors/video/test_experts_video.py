from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.features.shard import StoreWriter
from mmvt.processors.video.expert_rows import in_time
from mmvt.processors.video.experts import ExpertsVideoProcessor


def store_of(folder: Path, fps: float, grid: int = 1, **videos: np.ndarray) -> Path:
    dim = next(iter(videos.values())).shape[-1]
    with StoreWriter(folder, dim=dim, fps=fps, grid=grid, encoder={"name": "x"}) as writer:
        for name, rows in videos.items():
            times = np.arange(len(rows)) / (fps or 1)
            writer.add(name, rows.astype(np.float32), times=times, duration=float(len(rows)))
    return folder


@pytest.mark.parametrize(
    ("rate", "steps", "values", "there"),
    [
        (1.0, 4, [0, 1, 2, 0], [1, 1, 1, 0]),
        (2.0, 3, [0.5, 2, 0], [1, 1, 0]),
        (0.5, 6, [0, 0, 1, 1, 2, 2], [1] * 6),
        (1.5, 2, [0, 1.5], [1, 1]),
        (3.0, 0, [], []),
    ],
)
def test_steps_are_brought_in_time(
    rate: float, steps: int, values: list[float], there: list[int]
) -> None:
    found, real = in_time(np.arange(3.0)[:, None], rate, steps)
    assert found[:, 0].tolist() == values
    assert real.tolist() == [bool(value) for value in there]


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Path]:
    video = np.arange(24.0).reshape(3, 4, 2)
    audio, tags = np.arange(5.0)[:, None], np.full((1, 1), 7.0)
    return {
        "video": store_of(tmp_path / "video", 1.0, 2, a=video, b=video + 1),
        "audio": store_of(tmp_path / "audio", 2.0, a=audio, b=audio),
        "tags": store_of(tmp_path / "tags", 0.0, a=tags),
    }


def test_a_row_is_what_every_expert_says_at_that_time(stores: dict[str, Path]) -> None:
    processor = ExpertsVideoProcessor(
        store=stores["video"],
        experts={"tags": stores["tags"], "audio": stores["audio"]},
        expert_rows={"audio": 2},
    )
    rows = processor("a")
    assert processor.fps == 1.0
    assert rows[:, :8].tolist() == np.arange(24.0).reshape(3, 8).tolist()
    assert rows[:, 8:12].tolist() == [[0, 1, 1, 1], [2, 3, 1, 1], [4, 0, 1, 0]]
    assert rows[:, 12:].tolist() == [[7, 1]] * 3


def test_an_expert_without_a_video_is_refused_or_has_nothing_to_say(
    stores: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    fields = {"store": stores["video"], "experts": {"tags": stores["tags"]}}
    with pytest.raises(DataError, match="expert tags lacks 1 of 2 videos: b; with missing_exp"):
        ExpertsVideoProcessor(**fields).contains(["a", "b", "c"])
    with pytest.raises(DataError, match="expert tags lacks 1 of 1 videos: b"):
        ExpertsVideoProcessor(**fields)("b")
    processor = ExpertsVideoProcessor(**fields, missing_experts=True)
    assert processor.contains(["a", "b", "c"]).tolist() == [True, True, False]
    assert "expert tags lacks 1 of 2 videos: b; it has nothing to say of them" in caplog.text
    assert processor("b")[:, 8:].tolist() == [[0, 0]] * 3


def test_experts_that_are_named_wrong_are_refused(stores: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="is the store itself"):
        ExpertsVideoProcessor(store=stores["video"], experts={"video": stores["audio"]})
    for rows in ({"sound": 2}, {"audio": 0}):
        with pytest.raises(ConfigError, match="one of the experts audio"):
            ExpertsVideoProcessor(
                store=stores["video"], experts={"audio": stores["audio"]}, expert_rows=rows
            )
