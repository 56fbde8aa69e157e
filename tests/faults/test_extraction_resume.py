"""Runs that are killed, starved or started anew with other options (T18 to T24)."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from mmvt.checkpoint import load_state
from mmvt.datasets.store import FeatureStore
from mmvt.errors import CheckpointError, StoreError
from mmvt.features.extract import FrameOptions
from mmvt.features.find import Video, find_videos
from mmvt.features.shard import StoreWriter
from mmvt.processors.video.npy import NpyVideoProcessor
from mmvt_cli import extract
from tests.faults.runs import (
    ROOT,
    SMALL_CLIPS,
    ColourEncoder,
    FillingDisk,
    at_event,
    command,
    decoders_of,
    digest,
    is_alive,
    reasons,
    run,
)
from tests.videos import write_video

pytestmark = [pytest.mark.faults, pytest.mark.extraction]

ENCODER = "EfficientNetLite0:frame_size=32"
TOUCHES_DISK = {"open", "os.rename", "os.remove", "os.truncate", "mmvt.video"}


# --- T18


def run_until(videos: Path, store: Path, last: int, events: set[str], notes: Path) -> None:
    """Extract, and be killed at the n-th event that touches the store.

    Write down how many touches there were or, if killed, which decoders were at work.
    """
    seen = 0

    def count(*arguments: object) -> None:
        nonlocal seen
        if not str(arguments[0]).startswith(str(store)):
            return
        seen += 1
        if seen == last:
            write_down(decoders_of(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

    def write_down(what: object) -> None:
        file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(file, json.dumps(what).encode())
        os.close(file)

    def touch(video: Video, reason: str | None) -> None:
        sys.audit("mmvt.video", store)

    with at_event(events, count):
        run(videos, store, shard_size=2, on_video=touch)
    write_down(seen)


class Nursery:
    """Starts runs from a process that has imported everything once."""

    def __init__(self, folder: Path, videos: Path) -> None:
        self.folder, self.videos = folder, videos
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(["tests.faults.test_extraction_resume"])

    def finish(self, store: str, last: int = 0, events: set[str] = TOUCHES_DISK) -> int:
        """Run to the end, or to the n-th touch of the store; return the exit code."""
        arguments = (self.videos, self.folder / store, last, events, self.folder / "notes")
        process = self._context.Process(target=run_until, args=arguments)
        process.start()
        process.join()
        code = process.exitcode
        process.close()
        assert code is not None
        return code

    @property
    def notes(self) -> Any:
        """What the last run wrote down."""
        return json.loads((self.folder / "notes").read_text())


@pytest.fixture
def nursery(tmp_path: Path) -> Nursery:
    videos = tmp_path / "small"
    videos.mkdir()
    for number in range(7):
        write_video(videos / f"{number}.mp4", 4 + number)
    (videos / "3 broken.mp4").write_bytes(b"no video")
    return Nursery(tmp_path, videos)


@pytest.mark.slow
def test_t18_a_run_killed_at_any_of_20_points_ends_with_the_same_bytes(nursery: Nursery) -> None:
    assert nursery.finish("straight") == 0
    straight = digest(nursery.folder / "straight")
    count = nursery.notes
    points = sorted(random.Random(18).sample(range(1, count + 1), 20))
    for point in points:
        store = f"killed at {point} of {count}"
        assert nursery.finish(store, point) == -signal.SIGKILL
        folder = nursery.folder / store
        if (folder / "manifest.json").exists():
            FeatureStore.open(folder, verify="full")
        assert nursery.finish(store) == 0
        assert digest(folder) == straight, store


def test_t18_a_run_killed_again_and_again_ends_with_the_same_bytes(nursery: Nursery) -> None:
    assert nursery.finish("straight") == 0
    for point in random.Random(81).sample(range(4, 30), 4):
        assert nursery.finish("killed", point) == -signal.SIGKILL
    assert nursery.finish("killed") == 0
    assert digest(nursery.folder / "killed") == digest(nursery.folder / "straight")


# --- T19


def write_store(folder: Path) -> None:
    with StoreWriter(
        folder, dim=64, fps=1.0, encoder={"name": "t"}, shard_size=2, append=True
    ) as writer:
        for number in range(6):
            if f"v{number}" not in writer:
                writer.add(f"v{number}", np.full((40, 64), number, np.float16))


def test_t19_wherever_the_disk_is_full_nothing_half_written_has_its_name(
    small_disk: FillingDisk, tmp_path: Path
) -> None:
    write_store(tmp_path / "straight")
    straight = digest(tmp_path / "straight")
    store = small_disk.folder / "store"
    completed = 0
    for pages in range(1, 40):
        shutil.rmtree(store, ignore_errors=True)
        small_disk.resize(pages * 4096)
        try:
            write_store(store)
        except StoreError as error:
            assert "No space left on device" in str(error)  # noqa: PT017
        else:
            completed += 1
        if (store / "manifest.json").exists():
            FeatureStore.open(store, verify="full")
        elif store.exists():
            assert {path.name for path in store.iterdir()} <= {".lock"}
        small_disk.resize(1 << 26)
        write_store(store)
        assert digest(store) == straight
    assert 0 < completed < 30


@pytest.mark.parametrize("pages", [2, 6, 11])
def test_t19_a_run_on_a_full_disk_says_so_and_completes_when_there_is_room(
    clips: Path, small_disk: FillingDisk, tmp_path: Path, pages: int
) -> None:
    (clips / "bad.mp4").touch()
    frames = FrameOptions(fps=25.0)
    run(clips, tmp_path / "straight", shard_size=2, frames=frames)
    small_disk.resize(pages * 4096)
    store = small_disk.folder / "store"
    with pytest.raises(StoreError, match="No space left on device"):
        run(clips, store, shard_size=2, frames=frames)
    small_disk.resize(1 << 26)
    run(clips, store, shard_size=2, frames=frames)
    assert digest(store) == digest(tmp_path / "straight")


def test_t19_a_list_of_failures_that_finds_no_room_is_an_error_of_the_store(
    small_disk: FillingDisk, clips: Path
) -> None:
    store = small_disk.folder / "store"
    run(clips, store)
    (clips / "bad.mp4").touch()
    small_disk.fill()
    with pytest.raises(StoreError, match="No space left on device"):
        run(clips, store)
    assert len(FeatureStore.open(store, verify="full")) == 4
    (small_disk.folder / "filling").unlink()
    assert set(reasons(run(clips, store))) == {"bad.mp4"}


# --- T20, T21


def test_t20_failed_videos_are_retried_when_asked_and_only_those(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (clips / SMALL_CLIPS[0]).read_bytes()
    (clips / SMALL_CLIPS[0]).write_bytes(good[: len(good) // 2])
    (clips / "empty.mp4").touch()
    words = [str(clips), "--encoder", ENCODER, "--segments", "1", "--out", str(tmp_path / "s")]
    assert extract.main(words) == 3
    (clips / SMALL_CLIPS[0]).write_bytes(good)
    shutil.copy(clips / SMALL_CLIPS[1], clips / "new.mp4")
    capsys.readouterr()
    assert extract.main([*words, "--retry-failed"]) == 3
    assert "1 extracted, 3 there already, 1 failed" in capsys.readouterr().out
    assert "new.mp4" not in FeatureStore.open(tmp_path / "s")
    assert extract.main(words) == 3
    assert "1 extracted, 4 there already, 1 failed" in capsys.readouterr().out
    lines = (tmp_path / "s" / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["empty.mp4"]


def test_t21_a_killed_decoder_fails_one_video_and_leaves_no_zombie(
    clips: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_first(*arguments: object) -> None:
        if not killed:
            killed.extend(decoders_of(os.getpid())[:1])
            os.kill(killed[0], signal.SIGKILL)

    (clips / "0 first.mp4").touch()  # its failure tells that the decoder is at work
    began = time.monotonic()
    report = run(clips, tmp_path / "store", frames=FrameOptions(fps=25.0), on_video=kill_first)
    assert time.monotonic() - began < 30
    found = reasons(report)
    assert found.pop("0 first.mp4") == "is empty (0 bytes)"
    assert list(found.values()) in ([], ["its decoder was killed by SIGKILL"])
    assert report.extracted == 4 - len(found)
    assert not is_alive(killed[0])
    assert decoders_of(os.getpid()) == []


def test_t21_decoders_do_not_outlive_a_run_that_is_killed(nursery: Nursery) -> None:
    assert nursery.finish("killed", 1, {"mmvt.video"}) == -signal.SIGKILL
    decoders = nursery.notes
    assert decoders
    deadline = time.monotonic() + 90
    while any(map(is_alive, decoders)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- T22, T23


def test_t22_what_an_older_run_left_half_written_is_done_again(clips: Path, tmp_path: Path) -> None:
    run(clips, tmp_path / "straight", shard_size=2)
    store = tmp_path / "store"
    run(find_videos(clips).videos[:2], store, shard_size=2)
    whole = (store / "00000_data.npy").read_bytes()
    (store / "00001_data.npy").write_bytes(whole[:-2])
    (store / "00001_starts.npy").write_bytes(whole[:9])
    (store / ".00001_data.npy.tmp").write_bytes(whole[:-2])
    (store / ".00001_journal.tmp").write_bytes(b'{"dim": 3')
    (store / "index_00002.npy").write_bytes(b"")
    run(clips, store, shard_size=2)
    assert digest(store) == digest(tmp_path / "straight")


def test_t22_half_written_npy_and_safetensors_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((5, 4), np.float32))
    os.truncate(tmp_path / "v.npy", 150)
    with pytest.raises(StoreError, match=r"v\.npy: cannot be read as features"):
        NpyVideoProcessor(vfeat_dir=tmp_path)("v")
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"a": torch.ones(100)}, path)
    os.truncate(path, path.stat().st_size - 4)
    with pytest.raises(CheckpointError, match="safetensors"):
        load_state(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": FrameOptions(fps=2.0)}, r"num_segments is 2, not None"),
        ({"frames": FrameOptions(num_segments=3)}, r"num_segments is 2, not 3"),
        ({"frames": FrameOptions(num_segments=2, short_side=48)}, r"short_side is 32, not 48"),
        ({"encoder": ColourEncoder(weights="b")}, r"weights_sha256 is 'a', not 'b'"),
        ({"encoder": ColourEncoder(frame_size=48)}, r"short_side is 32, not 48"),
        ({"dtype": "float32"}, r"dtype is 'float16', not 'float32'|dtype is float16, not float32"),
    ],
)
def test_t23_other_options_are_refused_by_the_name_of_the_key(
    clips: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    run(clips, tmp_path / "store")
    before = digest(tmp_path / "store")
    with pytest.raises(StoreError, match=message):
        run(clips, tmp_path / "store", **options)
    assert digest(tmp_path / "store") == before


def test_t23_another_rate_is_refused_by_both_values(clips: Path, tmp_path: Path) -> None:
    run(clips, tmp_path / "store", frames=FrameOptions(fps=1.0))
    with pytest.raises(StoreError, match=r"fps is 1\.0, not 2\.0"):
        run(clips, tmp_path / "store", frames=FrameOptions(fps=2.0))


# --- T24


@pytest.mark.parametrize("state", ["read-only", "full"])
def test_t24_a_run_needs_no_temporary_folder_and_no_home(
    clips: Path, small_disk: FillingDisk, tmp_path: Path, state: str
) -> None:
    if state == "full":
        small_disk.resize(1 << 16)
        small_disk.fill()
    else:
        small_disk.protect()
    words = ["extract", clips, "--encoder", ENCODER, "--segments", "1", "--out", tmp_path / "s"]
    done = command(*words, TMPDIR=str(small_disk.folder), HOME=None)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert len(FeatureStore.open(tmp_path / "s", verify="full")) == 4


def test_t24_a_store_on_a_read_only_disk_is_named(clips: Path, small_disk: FillingDisk) -> None:
    small_disk.protect()
    with pytest.raises(StoreError, match=r"store: cannot be written: Read-only file system"):
        run(clips, small_disk.folder / "store")


def test_t24_a_missing_home_is_no_reason_to_fail(tmp_path: Path) -> None:
    code = "import mmvt.features.weights, mmvt.features.extract; print('fine')"
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "gone")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "fine\n", done.stderr
