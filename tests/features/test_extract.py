"""The run over many videos: what is stored, skipped, refused, and kept after a fault."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.store import FeatureStore
from mmvt.errors import ConfigError, PluginError, StoreError
from mmvt.features.base import FeatureEncoder
from mmvt.features.extract import FrameOptions, build_encoder, extract
from mmvt.features.find import Video, find_videos
from tests.videos import number_of, write_video


class NumberEncoder(FeatureEncoder):
    """Returns the numbers that frames show; a step of several frames gives one a frame."""

    def __init__(
        self,
        *,
        clip_frames: int = 1,
        frames_per_second: float | None = None,
        grid: int = 1,
        shift: float = 0.0,
    ) -> None:
        self.dim = clip_frames
        self.grid = grid
        self.frame_size = 48
        self.clip_frames = clip_frames
        self.frames_per_second = frames_per_second
        self.shift = shift
        self.seen = 0

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "NumberEncoder", "shift": self.shift}

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        self.seen += len(frames)
        numbers = torch.tensor([float(number_of(frame.numpy())) for frame in frames]) + self.shift
        rows = numbers.reshape(-1, 1, self.clip_frames)
        return rows.expand(-1, self.grid**2, -1)


def folder_of(tmp_path: Path, *counts: int) -> list[Video]:
    """Return square videos of the given numbers of frames, at 30 a second."""
    folder = tmp_path / "videos"
    folder.mkdir(exist_ok=True)
    for index, count in enumerate(counts):
        write_video(folder / f"{index}.mp4", count, width=48)
    return find_videos(folder).videos


def rows(store: Path, video_id: str = "0.mp4") -> list[Any]:
    return FeatureStore.open(store)[video_id].tolist()


# --- what is stored


def test_rows_ids_times_and_metadata_are_stored(tmp_path: Path) -> None:
    videos = folder_of(tmp_path, 90, 30)
    report = extract(videos, NumberEncoder(), tmp_path / "store")
    assert (report.extracted, report.skipped, report.failures) == (2, 0, [])
    store = FeatureStore.open(tmp_path / "store")
    assert list(store.ids) == ["0.mp4", "1.mp4"]
    assert store["0.mp4"].tolist() == [[14], [44], [74]]
    assert store.times("0.mp4").tolist() == [0, 1, 2]
    assert store.metadata("0.mp4") == {
        "duration": 3.0,
        "source": str(tmp_path / "videos" / "0.mp4"),
        "steps": 3,
        "n_valid": 3,
        "fps": 1.0,
    }
    manifest = store.manifest
    assert (manifest.fps, manifest.dim, manifest.grid, manifest.dtype) == (1, 1, 1, "float16")
    frames = {"num_segments": None, "short_side": 48}
    assert manifest.encoder == {"name": "NumberEncoder", "shift": 0.0, "frames": frames}


def test_segments_give_as_many_rows_and_their_times(tmp_path: Path) -> None:
    store = tmp_path / "store"
    extract(folder_of(tmp_path, 60), NumberEncoder(), store, FrameOptions(num_segments=4))
    assert rows(store) == [[7], [22], [37], [52]]
    assert FeatureStore.open(store).times("0.mp4").tolist() == pytest.approx(
        [7 / 30, 22 / 30, 37 / 30, 52 / 30]
    )
    assert FeatureStore.open(store).manifest.fps == 0


def test_a_grid_stays_a_grid(tmp_path: Path) -> None:
    extract(folder_of(tmp_path, 60), NumberEncoder(grid=2), tmp_path / "store")
    assert rows(tmp_path / "store") == [[[14]] * 4, [[44]] * 4]


def test_a_last_clip_that_is_not_full_repeats_its_last_frame(tmp_path: Path) -> None:
    videos = folder_of(tmp_path, 11, 2)
    encoder = NumberEncoder(clip_frames=3, frames_per_second=15.0)
    extract(videos, encoder, tmp_path / "store")
    assert rows(tmp_path / "store") == [[0, 2, 4], [6, 8, 10]]
    assert rows(tmp_path / "store", "1.mp4") == [[0, 0, 0]]
    assert FeatureStore.open(tmp_path / "store").manifest.fps == 5
    assert FeatureStore.open(tmp_path / "store").times("0.mp4").tolist() == pytest.approx([0, 0.2])


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (1, 3), (2, 2), (100, 1)])
def test_rows_do_not_depend_on_batches_and_workers(
    tmp_path: Path, batch: int, workers: int
) -> None:
    videos = folder_of(tmp_path, 30, 1, 40)
    options = FrameOptions(fps=10.0)
    extract(videos, NumberEncoder(), tmp_path / "s", options, batch=batch, workers=workers)
    assert rows(tmp_path / "s") == [[n] for n in range(1, 30, 3)]
    assert rows(tmp_path / "s", "1.mp4") == [[0]]
    assert rows(tmp_path / "s", "2.mp4")[-1] == [37]


def test_threads_of_the_caller_stay_as_they_were(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    extract(folder_of(tmp_path, 5), NumberEncoder(), tmp_path / "s", workers=2)
    assert torch.get_num_threads() == before


# --- faults


def test_a_bad_file_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    videos = folder_of(tmp_path, 30, 30, 30)
    videos[0].path.write_bytes(b"")
    videos[1].path.write_text("no video\n" * 20)
    seen = []
    report = extract(
        videos, NumberEncoder(), tmp_path / "s", on_video=lambda v, reason: seen.append(reason)
    )
    assert report.extracted == 1
    assert [(f.id, f.reason) for f in report.failures] == [
        ("0.mp4", "is empty (0 bytes)"),
        ("1.mp4", "is no video, or lacks its header"),
    ]
    assert [reason is None for reason in seen] == [False, False, True]
    lines = (tmp_path / "s" / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["0.mp4", "1.mp4"]


def test_frames_before_a_cut_are_not_stored(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", 90, width=48)
    path.write_bytes(path.read_bytes()[:3000])
    report = extract([Video("v.mkv", path)], NumberEncoder(), tmp_path / "s")
    assert len(FeatureStore.open(tmp_path / "s")) == 0
    assert "cut off" in report.failures[0].reason


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    encoder = NumberEncoder(shift=1e6)  # too large for float16
    report = extract(folder_of(tmp_path, 30), encoder, tmp_path / "s")
    assert [f.reason for f in report.failures] == ["its features are not finite"]
    assert extract(folder_of(tmp_path, 30), encoder, tmp_path / "t", dtype="float32").extracted == 1


def test_a_second_run_decodes_nothing(tmp_path: Path) -> None:
    videos = folder_of(tmp_path, 30, 30)
    videos[1].path.write_bytes(b"")
    extract(videos, NumberEncoder(), tmp_path / "s")
    again = NumberEncoder()
    report = extract(videos, again, tmp_path / "s")
    assert (report.extracted, report.skipped, again.seen) == (0, 1, 0)
    assert [f.id for f in report.failures] == ["1.mp4"]


def test_a_new_file_costs_one_file(tmp_path: Path) -> None:
    extract(folder_of(tmp_path, 30), NumberEncoder(), tmp_path / "s")
    encoder = NumberEncoder()
    report = extract(folder_of(tmp_path, 30, 60), encoder, tmp_path / "s")
    assert (report.extracted, report.skipped, encoder.seen) == (1, 1, 2)
    assert rows(tmp_path / "s", "1.mp4") == [[14], [44]]


def test_only_failures_are_retried_and_only_when_asked(tmp_path: Path) -> None:
    videos = folder_of(tmp_path, 30, 30, 30)
    good = videos[1].path.read_bytes()
    videos[1].path.write_bytes(b"")
    extract(videos[:2], NumberEncoder(), tmp_path / "s")
    videos[1].path.write_bytes(good)
    report = extract(videos, NumberEncoder(), tmp_path / "s", retry_failed=True)
    assert (report.extracted, report.skipped, report.failures) == (1, 1, [])
    assert (tmp_path / "s" / "failures.jsonl").read_text() == ""
    assert list(FeatureStore.open(tmp_path / "s").ids) == ["0.mp4", "1.mp4"]


def test_other_options_are_refused_with_both_values(tmp_path: Path) -> None:
    videos = folder_of(tmp_path, 30)
    extract(videos, NumberEncoder(), tmp_path / "s", FrameOptions(short_side=64))
    for encoder, options, message in (
        (NumberEncoder(shift=2.0), FrameOptions(short_side=64), "shift is 0.0, not 2.0"),
        (NumberEncoder(), FrameOptions(), "frames.short_side is 64, not 48"),
        (NumberEncoder(), FrameOptions(fps=2.0, short_side=64), "fps is 1.0, not 2.0"),
        (NumberEncoder(grid=2), FrameOptions(short_side=64), "grid is 1, not 2"),
    ):
        with pytest.raises(StoreError, match=message):
            extract(videos, encoder, tmp_path / "s", options)


def test_a_damaged_list_of_failures_is_an_error(tmp_path: Path) -> None:
    videos = folder_of(tmp_path, 5)
    extract(videos, NumberEncoder(), tmp_path / "s")
    (tmp_path / "s" / "failures.jsonl").write_text("{")
    with pytest.raises(StoreError, match=r"failures\.jsonl is damaged"):
        extract(videos, NumberEncoder(), tmp_path / "s")


@pytest.mark.parametrize(
    ("encoder", "options", "message"),
    [
        ({}, {"fps": 1.0, "num_segments": 2}, "give fps or num_segments, not both"),
        ({"clip_frames": 3}, {"num_segments": 2}, "takes clips of consecutive frames, no segments"),
        ({"frames_per_second": 30.0}, {"fps": 2.0}, "gives 30 steps a second; leave fps out"),
    ],
)
def test_frames_that_do_not_fit_the_encoder_are_refused(
    tmp_path: Path, encoder: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        extract([], NumberEncoder(**encoder), tmp_path / "s", FrameOptions(**options))
    assert not (tmp_path / "s").exists()


def test_an_error_of_the_encoder_ends_the_run_and_keeps_what_was_done(tmp_path: Path) -> None:
    class Failing(NumberEncoder):
        def encode(self, frames: torch.Tensor) -> torch.Tensor:
            if self.seen == 2:
                raise RuntimeError("out of memory")
            return super().encode(frames)

    videos = folder_of(tmp_path, 30, 30, 30)
    threads = threading.active_count()
    with pytest.raises(RuntimeError, match="out of memory"):
        extract(videos, Failing(), tmp_path / "s")
    assert threading.active_count() == threads
    extract(videos, NumberEncoder(), tmp_path / "s")
    assert list(FeatureStore.open(tmp_path / "s").ids) == ["0.mp4", "1.mp4", "2.mp4"]


KILLED = """
import os, sys, torch
sys.path.insert(0, {root!r})
from pathlib import Path
from mmvt.features.extract import extract
from mmvt.features.find import find_videos
from tests.features.test_extract import NumberEncoder
torch.set_num_threads(1)
seen = []
def on_video(video, reason):
    seen.append(video)
    if len(seen) == 5:
        os.kill(os.getpid(), 9)
videos = find_videos(sys.argv[1]).videos
extract(videos, NumberEncoder(), Path(sys.argv[2]), shard_size=2, on_video=on_video)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    videos = folder_of(tmp_path, *[30] * 9)
    code = KILLED.format(root=str(Path(__file__).resolve().parents[2]))
    words = [sys.executable, "-c", code, str(tmp_path / "videos"), str(tmp_path / "killed")]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert len(FeatureStore.open(tmp_path / "killed")) == 4
    for name in ("killed", "whole"):
        extract(videos, NumberEncoder(), tmp_path / name, shard_size=2)
    killed, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("killed", "whole")
    )
    assert killed == whole


# --- encoders by name


def test_an_encoder_is_built_by_its_name() -> None:
    encoder = build_encoder("EfficientNetLite0", {"output": "grid", "grid": 2, "frame_size": 64})
    assert (encoder.grid, encoder.frame_size, encoder.dim) == (2, 64, 1280)


def test_all_that_is_wrong_with_options_is_said_at_once() -> None:
    with pytest.raises(PluginError, match="did you mean EfficientNetLite0"):
        build_encoder("EfficientnetLite", {})
    with pytest.raises(ConfigError) as caught:
        build_encoder("HFVisionEncoder", {"modle": "x", "grid": "two"})
    text = str(caught.value)
    assert "no option 'modle'; did you mean model?" in text
    assert "needs the option 'model'" in text
    assert "option 'grid'" in text


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda:99", "the device is cuda:99, but torch .* finds"), ("gpu", "no device is called")],
)
def test_a_device_that_is_not_there_is_one_error(device: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_encoder("EfficientNetLite0", {"device": device})


def test_auto_is_the_device_that_is_there() -> None:
    encoder = build_encoder("EfficientNetLite0", {"device": "auto", "frame_size": 32})
    assert encoder.device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_half_precision_is_near_and_does_not_mix(tmp_path: Path) -> None:
    videos = folder_of(tmp_path, 30, 60)
    encoder = build_encoder("EfficientNetLite0", {"frame_size": 48})
    for name, half in (("full", False), ("half", True)):
        extract(videos, encoder, tmp_path / name, half=half)
    full, half = (FeatureStore.open(tmp_path / name)["1.mp4"] for name in ("full", "half"))
    assert 0 < np.abs(full - half).max() < 0.05 * np.abs(full).max()
    with pytest.raises(StoreError, match="half is True, not None"):
        extract(videos, encoder, tmp_path / "half")


def test_ids_may_have_spaces_and_other_letters(tmp_path: Path) -> None:
    (tmp_path / "v" / "ein Ordner").mkdir(parents=True)
    path = write_video(tmp_path / "v" / "ein Ordner" / "Käse 日本.mp4", 30, width=48)
    assert path.exists()
    extract(find_videos(tmp_path / "v").videos, NumberEncoder(), tmp_path / "s")
    assert rows(tmp_path / "s", "ein Ordner/Käse 日本.mp4") == [[14]]


def test_float32_keeps_all_digits(tmp_path: Path) -> None:
    extract(folder_of(tmp_path, 30), NumberEncoder(shift=0.1), tmp_path / "s", dtype="float32")
    assert FeatureStore.open(tmp_path / "s")["0.mp4"].dtype == np.float32
    assert rows(tmp_path / "s") == [[pytest.approx(14.1, abs=1e-5)]]
