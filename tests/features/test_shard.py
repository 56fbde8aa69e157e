"""Writing a feature store, and reading it back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.datasets.store import FeatureStore
from mmvt.errors import DataError, StoreError
from mmvt.features.shard import StoreWriter

ROOT = Path(__file__).resolve().parents[2]


def writer(folder: Path, **options: Any) -> StoreWriter:
    settings = {"dim": 4, "fps": 2.0, "encoder": {"name": "test"}, **options}
    return StoreWriter(folder, **settings)


def rows(value: float, steps: int = 3) -> np.ndarray:
    return np.full((steps, 4), value, np.float32)


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.iterdir() if p.name != ".lock")
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@settings(deadline=None, max_examples=30)  # each waits for the disk
@given(
    ids=st.lists(
        st.text("abcäß あ/.", min_size=1, max_size=5), min_size=1, max_size=9, unique=True
    ),
    shard_size=st.integers(1, 4),
)
def test_what_was_added_is_read_back_by_its_id(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], shard_size: int
):
    folder = tmp_path_factory.mktemp("store")
    added: dict[str, np.ndarray] = {}
    with writer(folder, shard_size=shard_size) as store:
        for number, video_id in enumerate(ids):
            try:
                store.add(video_id, rows(number, 1 + number % 3))
            except DataError:
                continue  # an id that leads out of its folder
            added[video_id] = rows(number, 1 + number % 3)
    found = FeatureStore.open(folder, verify="full")
    assert list(found.ids) == list(added)
    assert len(found) == len(added)
    for video_id, expected in added.items():
        np.testing.assert_array_equal(found[video_id], expected)
        assert video_id in found
    assert "not there" not in found


def test_the_manifest_says_what_the_rows_are(tmp_path: Path):
    with writer(tmp_path / "s", encoder={"name": "X", "sha256": "ab"}) as store:
        store.add("a", rows(1))
    manifest = FeatureStore.open(tmp_path / "s").manifest
    assert (manifest.dim, manifest.grid, manifest.dtype, manifest.fps) == (4, 1, "float16", 2.0)
    assert manifest.encoder == {"name": "X", "sha256": "ab"}
    assert (manifest.items, manifest.rows) == (1, 3)


def test_a_grid_of_rows_a_step_stays_a_grid(tmp_path: Path):
    step = np.arange(2 * 9 * 4, dtype=np.float32).reshape(2, 9, 4)
    with writer(tmp_path / "s", grid=3) as store:
        store.add("a", step)
    np.testing.assert_array_equal(FeatureStore.open(tmp_path / "s")["a"], step)


def test_times_and_metadata_come_back(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("a", rows(1), duration=1.5, source="a.mp4", times=np.array([0.0, 0.5, 1.1]))
        store.add("b", rows(2, 2))
    found = FeatureStore.open(tmp_path / "s")
    assert found.metadata("a") == {
        "duration": 1.5,
        "source": "a.mp4",
        "steps": 3,
        "n_valid": 3,
        "fps": 2.0,
    }
    np.testing.assert_array_equal(found.times("a"), [0.0, 0.5, 1.1])
    np.testing.assert_array_equal(found.times("b"), [0.0, 0.5])


def test_padding_steps_are_told_from_those_of_the_video(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("a", rows(1), n_valid=1)
        store.add("b", rows(1), n_valid=3)
        for wrong in (0, 4):
            with pytest.raises(StoreError, match=f"'c' has 3 steps, of which {wrong} cannot be"):
                store.add("c", rows(1), n_valid=wrong)
    found = FeatureStore.open(tmp_path / "s")
    assert [found.metadata(video)["n_valid"] for video in "ab"] == [1, 3]


def test_a_step_of_a_grid_has_one_time(tmp_path: Path):
    with writer(tmp_path / "s", grid=2) as store:
        store.add("a", np.ones((2, 4, 4), np.float32))
        store.add("b", np.ones((1, 4, 4), np.float32), times=np.array([7.0]))
    found = FeatureStore.open(tmp_path / "s")
    np.testing.assert_array_equal(found.times("a"), [0.0, 0.5])
    np.testing.assert_array_equal(found.times("b"), [7.0])
    assert found.metadata("b")["steps"] == 1


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numbers_keep_the_type_of_the_store(tmp_path: Path, dtype: str):
    with writer(tmp_path / "s", dtype=dtype) as store:
        store.add("a", rows(7))
    found = FeatureStore.open(tmp_path / "s", verify="full")["a"]
    assert (str(found.dtype), found.tolist()) == (dtype, [[7] * 4] * 3)


def test_unicode_twins_are_one_id(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("caf\u00e9", rows(1))
        with pytest.raises(StoreError, match="video 'caf\u00e9' is there already"):
            store.add("cafe\u0301", rows(2))
        assert "cafe\u0301" in store
    assert "cafe\u0301" in FeatureStore.open(tmp_path / "s")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (rows(np.nan), "video 'a' has rows that are not finite"),
        (rows(-np.inf), "video 'a' has rows that are not finite"),
        (rows(65520.0), "video 'a' has rows that are too large for float16"),
        (rows(1, 0), r"video 'a' has rows of shape \(0, 4\), but it must be \(1 or more, 4\)"),
        (np.zeros((3, 5)), r"video 'a' has rows of shape \(3, 5\)"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_by_id(
    tmp_path: Path, array: np.ndarray, message: str
):
    with writer(tmp_path / "s") as store:
        with pytest.raises(StoreError, match=message):
            store.add("a", array)
        store.add("b", rows(1))
    assert list(FeatureStore.open(tmp_path / "s").ids) == ["b"]


@pytest.mark.parametrize("value", [65504.0, 65519.0, -65504.0])
def test_the_largest_half_float_is_kept(tmp_path: Path, value: float):
    with writer(tmp_path / "s") as store:
        store.add("a", rows(value))
    assert abs(FeatureStore.open(tmp_path / "s")["a"]).max() == 65504


def test_times_and_durations_that_are_not_finite_are_refused(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        with pytest.raises(StoreError, match="video 'a' has times that are not finite"):
            store.add("a", rows(1), times=np.array([0, 1, np.nan]))
        with pytest.raises(StoreError, match="video 'a' has a duration of nan"):
            store.add("a", rows(1), duration=float("nan"))


def test_where_steps_have_no_rate_every_video_brings_its_times(tmp_path: Path):
    with writer(tmp_path / "s", fps=0.0) as store:
        with pytest.raises(StoreError, match="video 'a' has no times"):
            store.add("a", rows(1))
        store.add("a", rows(1), times=np.array([0.0, 3.0, 4.0]))
    np.testing.assert_array_equal(FeatureStore.open(tmp_path / "s").times("a"), [0, 3, 4])


def test_times_of_another_number_are_refused(tmp_path: Path):
    with writer(tmp_path / "s") as store, pytest.raises(StoreError, match="3 steps, but 1 times"):
        store.add("a", rows(1), times=np.zeros(1))


@pytest.mark.parametrize("video_id", ["", "../x", "/etc/x", "a\0b", "a\nb", "x" * 256])
def test_an_id_that_could_do_harm_as_a_path_is_refused(tmp_path: Path, video_id: str):
    with writer(tmp_path / "s") as store, pytest.raises(DataError, match="the id"):
        store.add(video_id, rows(1))


def test_the_same_videos_give_the_same_bytes(tmp_path: Path):
    for name in ("one", "two"):
        with writer(tmp_path / name, shard_size=2) as store:
            for number in range(5):
                store.add(f"v{number}", rows(number))
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_appending_adds_shards_and_leaves_the_old_ones(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("a", rows(1))
    before = digest(tmp_path / "s")
    with writer(tmp_path / "s", append=True) as store:
        assert "a" in store
        store.add("b", rows(2))
        assert "b" in store
        with pytest.raises(StoreError, match="already"):
            store.add("a", rows(3))
    after = digest(tmp_path / "s")
    assert all(after[name] == old for name, old in before.items() if name.startswith("00000"))
    found = FeatureStore.open(tmp_path / "s", verify="full")
    assert list(found.ids) == ["a", "b"]
    np.testing.assert_array_equal(found["b"], rows(2))


def test_an_existing_store_is_not_written_over(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("a", rows(1))
    with (
        pytest.raises(StoreError, match="there is a feature store already"),
        writer(tmp_path / "s"),
    ):
        pass


def test_other_options_do_not_mix(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("a", rows(1))
    other = writer(tmp_path / "s", append=True, fps=1.0, encoder={"name": "other"})
    message = r"fps is 2.0, not 1.0; encoder is \{'name': 'test'\}, not \{'name': 'other'\}"
    with pytest.raises(StoreError, match=message), other:
        pass


def test_a_second_writer_is_refused_while_the_first_is_at_work(tmp_path: Path):
    with writer(tmp_path / "s"):
        second = writer(tmp_path / "s", append=True)
        with pytest.raises(StoreError, match="another process is writing"), second:
            pass


def add_twice(store: StoreWriter, video_id: str) -> None:
    for value in (1, 2):
        store.add(video_id, rows(value))


def test_what_was_added_before_an_error_is_there_for_the_next_writer(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("a", rows(1))
    with pytest.raises(StoreError, match="already"), writer(tmp_path / "s", append=True) as store:
        add_twice(store, "b")
    assert list(FeatureStore.open(tmp_path / "s", verify="full").ids) == ["a"]
    with writer(tmp_path / "s", append=True) as store:
        assert "b" in store
    assert list(FeatureStore.open(tmp_path / "s", verify="full").ids) == ["a", "b"]


ADDED_THEN_KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from mmvt.features.shard import StoreWriter

with StoreWriter(Path(sys.argv[1]), dim=4, fps=2.0, encoder={"name": "test"}) as store:
    for number in range(8):
        store.add(f"v{number}", np.full((3, 4), number, np.float32), duration=number + 0.1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_with_eight_videos(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ADDED_THEN_KILLED, str(folder)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL


def taken_up(folder: Path) -> list[str]:
    """Return the videos that a writer finds, after it has added what is missing."""
    with writer(folder, append=True) as store:
        found = [f"v{number}" for number in range(8) if f"v{number}" in store]
        for number in range(8):
            if f"v{number}" not in store:
                store.add(f"v{number}", rows(number), duration=number + 0.1)
    return found


def eight_straight(folder: Path) -> None:
    with writer(folder) as store:
        for number in range(8):
            store.add(f"v{number}", rows(number), duration=number + 0.1)


@pytest.mark.faults
def test_a_killed_writer_loses_no_video(tmp_path: Path):
    eight_straight(tmp_path / "straight")
    killed_with_eight_videos(tmp_path / "killed")
    assert len(taken_up(tmp_path / "killed")) == 8
    assert digest(tmp_path / "killed") == digest(tmp_path / "straight")


@pytest.mark.faults
@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda data, journal: cut(journal, 10), 7),
        (lambda data, journal: cut(data, 1), 7),
        (lambda data, journal: flip(data, 128 + 24 * 4 + 3), 4),
        (lambda data, journal: data.unlink(), 0),
        (lambda data, journal: journal.unlink(), 0),
        (lambda data, journal: journal.write_text("[1]\n"), 0),
        (lambda data, journal: data.write_bytes(data.read_bytes() + bytes(99)), 8),
    ],
)
def test_videos_are_taken_up_to_the_first_that_is_torn(
    tmp_path: Path, damage: Callable[[Path, Path], object], left: int
):
    eight_straight(tmp_path / "straight")
    killed_with_eight_videos(tmp_path / "killed")
    folder = tmp_path / "killed"
    damage(folder / ".00000_data.npy.tmp", folder / ".00000_journal.tmp")
    assert taken_up(folder) == [f"v{number}" for number in range(left)]
    assert digest(tmp_path / "killed") == digest(tmp_path / "straight")


@pytest.mark.faults
def test_what_a_writer_of_other_options_left_is_not_taken_up(tmp_path: Path):
    killed_with_eight_videos(tmp_path / "s")
    with writer(tmp_path / "s", encoder={"name": "other"}, append=True) as store:
        assert "v0" not in store
    assert len(FeatureStore.open(tmp_path / "s")) == 0


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_an_empty_store_can_be_opened_and_added_to(tmp_path: Path):
    with writer(tmp_path / "s"):
        pass
    assert len(FeatureStore.open(tmp_path / "s", verify="full")) == 0
    assert "a" not in FeatureStore.open(tmp_path / "s")
    with writer(tmp_path / "s", append=True) as store:
        store.add("a", rows(1))
    assert "a" in FeatureStore.open(tmp_path / "s")


# what a run does to the disk, and where it is killed: at the n-th name given or taken away
KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from mmvt.features.shard import StoreWriter

left = int(sys.argv[2])

def count(event: str, arguments: object) -> None:
    global left
    if event in ("os.rename", "os.remove"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
folder, encoder = Path(sys.argv[1]), {"name": "test"}
with StoreWriter(folder, dim=4, fps=2.0, encoder=encoder, shard_size=3) as store:
    for number in range(8):
        store.add(f"v{number}", np.full((3, 4), number, np.float32))
print(left)
"""


def run_killed(folder: Path, after: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(folder), str(after)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def add_what_is_missing(folder: Path) -> None:
    with writer(folder, shard_size=3, append=True) as store:
        for number in range(8):
            if f"v{number}" not in store:
                store.add(f"v{number}", rows(number))


# a shard takes eight names (5 parts, data, index, manifest) and drops the index before it
@pytest.mark.faults
@pytest.mark.parametrize("after", [1, 5, 6, 7, 8, 9, 16, 17, 18, 25])
def test_a_writer_that_is_killed_and_started_again_ends_with_the_same_bytes(
    tmp_path: Path, after: int
):
    add_what_is_missing(tmp_path / "straight")
    assert run_killed(tmp_path / "killed", after).returncode == -signal.SIGKILL
    if (tmp_path / "killed" / "manifest.json").exists():
        FeatureStore.open(tmp_path / "killed", verify="full")
    else:
        assert after <= 8
    add_what_is_missing(tmp_path / "killed")
    FeatureStore.open(tmp_path / "killed", verify="full")
    assert digest(tmp_path / "killed") == digest(tmp_path / "straight")


@contextlib.contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Let the system refuse to write more: an error of the disk that needs no full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# too little for: rows; the small files; the manifest
@pytest.mark.faults
@pytest.mark.parametrize("size", [100, 200, 500])
def test_a_disk_that_takes_no_more_leaves_nothing_and_a_second_run_completes(
    tmp_path: Path, size: int
):
    add_what_is_missing(tmp_path / "straight")
    with (
        files_no_longer_than(size),
        pytest.raises(StoreError, match=r"full: cannot be written: File too large"),
    ):
        add_what_is_missing(tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == [".lock"]
    add_what_is_missing(tmp_path / "full")
    assert digest(tmp_path / "full") == digest(tmp_path / "straight")


@pytest.mark.faults
def test_a_disk_that_takes_no_more_leaves_the_shards_before(tmp_path: Path):
    add_what_is_missing(tmp_path / "straight")
    with writer(tmp_path / "full", shard_size=3) as store:
        for number in range(3):
            store.add(f"v{number}", rows(number))
        before = digest(tmp_path / "full")
        with (
            files_no_longer_than(1000),
            pytest.raises(StoreError, match=r"full: cannot be written: File too large"),
        ):
            store.add("large", rows(1, 5000))
        assert digest(tmp_path / "full") == before
        for number in range(3, 8):  # the writer goes on
            store.add(f"v{number}", rows(number))
    assert digest(tmp_path / "full") == digest(tmp_path / "straight")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(StoreError, match=r"file/s: cannot be written: Not a directory"),
        writer(tmp_path / "file" / "s"),
    ):
        pass


def test_files_of_others_stay(tmp_path: Path):
    folder = tmp_path / "s"
    add_what_is_missing(folder)
    theirs = [folder / name for name in ("failures.jsonl", "x.tmp", "train_0_data.npy", "a.npy")]
    for path in theirs:
        path.touch()
    add_what_is_missing(folder)
    assert all(path.exists() for path in theirs)


def test_shards_that_no_writer_left_are_not_removed(tmp_path: Path):
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "00000_data.npy").touch()
    with pytest.raises(StoreError, match=r"00000_data.npy: is in the way"), writer(folder):
        pass
    assert (folder / "00000_data.npy").exists()


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path: Path):
    assert run_killed(tmp_path / "s", 1).returncode == -signal.SIGKILL
    assert (tmp_path / "s" / ".lock").exists()
    add_what_is_missing(tmp_path / "s")
    assert len(FeatureStore.open(tmp_path / "s")) == 8


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        other = run_killed(tmp_path / "s", -1)
        store.add("a", rows(1))
    assert other.returncode == 1
    assert "another process is writing to this store" in other.stderr
    assert list(FeatureStore.open(tmp_path / "s", verify="full").ids) == ["a"]


def test_the_manifest_is_json_with_a_version(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("a", rows(1))
    data = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert (data["format"], data["version"]) == ("mmvt-store", 1)
