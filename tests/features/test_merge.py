"""Several stores become one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.datasets.store import FeatureStore
from mmvt.errors import StoreError
from mmvt.features.merge import merge
from mmvt.features.shard import StoreWriter

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, *ids: str, first: float = 0.0, **options: Any) -> Path:
    made = {"dim": 2, "fps": 2.0, "encoder": {"name": "T"}, "shard_size": 3, **options}
    with StoreWriter(folder, **made) as writer:
        for number, video_id in enumerate(ids):
            writer.add(video_id, np.full((1 + number, 2), first + number, np.float32))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@settings(deadline=None, max_examples=15)  # each waits for the disk
@given(parts=st.lists(st.lists(st.integers(0, 9), max_size=5, unique=True), min_size=1, max_size=3))
def test_a_merge_holds_what_the_stores_hold(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[int]]
):
    folder = tmp_path_factory.mktemp("merge")
    stores = []
    for place, numbers in enumerate(parts):
        with StoreWriter(folder / f"{place}", dim=1, fps=1.0, encoder={}, shard_size=2) as writer:
            for number in numbers:
                writer.add(f"v{number}", np.full((1 + number % 3, 1), number, np.float32))
        stores.append(folder / f"{place}")
    report = merge(stores, folder / "all", skip_duplicates=True)
    found = FeatureStore.open(folder / "all", verify="full")
    expected = list(dict.fromkeys(number for numbers in parts for number in numbers))
    assert list(found.ids) == [f"v{number}" for number in expected]
    assert report.added == len(expected)
    assert report.skipped == sum(map(len, parts)) - len(expected)
    for number in expected:
        assert found[f"v{number}"].tolist() == [[number]] * (1 + number % 3)


def test_times_metadata_and_grids_are_kept(tmp_path: Path):
    for name in ("a", "b"):
        with StoreWriter(tmp_path / name, dim=2, grid=2, fps=0.0, encoder={}) as writer:
            steps, times = np.ones((2, 4, 2)), np.array([0.5, 9])
            writer.add(f"{name}/v", steps, times=times, duration=9.5, source="x", n_valid=1)
    seen: list[str] = []
    merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c", on_video=seen.append)
    store = FeatureStore.open(tmp_path / "c")
    assert seen == ["a/v", "b/v"]
    assert store["b/v"].shape == (2, 4, 2)
    assert store.times("b/v").tolist() == [0.5, 9]
    assert store.metadata("b/v") == {
        "duration": 9.5,
        "source": "x",
        "steps": 2,
        "n_valid": 1,
        "fps": 0.0,
    }


def test_merging_one_store_gives_its_bytes(tmp_path: Path):
    write(tmp_path / "a", *"pqrstuv")
    merge([tmp_path / "a"], tmp_path / "c", shard_size=3)
    assert content(tmp_path / "c") == content(tmp_path / "a")


@pytest.mark.faults
def test_duplicates_are_named(tmp_path: Path):
    stores = [write(tmp_path / "a", "x", "y", "z"), write(tmp_path / "b", "x", "y", "w")]
    message = r"2 videos are in both .*a and .*b: 'x', 'y' \(--skip-duplicates"
    with pytest.raises(StoreError, match=message):
        merge(stores, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    report = merge(stores, tmp_path / "c", skip_duplicates=True)
    assert (report.added, report.skipped) == (4, 2)
    assert list(FeatureStore.open(tmp_path / "c").ids) == ["x", "y", "z", "w"]


@pytest.mark.faults
def test_duplicates_with_other_features_or_times_are_an_error(tmp_path: Path):
    stores = [write(tmp_path / "a", "x"), write(tmp_path / "b", "x", first=1.0)]
    message = r"1 videos have other features in .*a than in .*b: 'x'"
    with pytest.raises(StoreError, match=message):
        merge(stores, tmp_path / "c", skip_duplicates=True)
    with StoreWriter(tmp_path / "d", dim=2, fps=2.0, encoder={"name": "T"}) as writer:
        writer.add("x", np.zeros((1, 2)), times=np.array([3.0]))
    with pytest.raises(StoreError, match="1 videos have other features"):
        merge([stores[0], tmp_path / "d"], tmp_path / "c", skip_duplicates=True)


@pytest.mark.faults
def test_stores_of_other_options_do_not_mix(tmp_path: Path):
    write(tmp_path / "a", "x")
    write(tmp_path / "b", "y", fps=1.0, encoder={"name": "other"})
    message = r"b: fps is 1\.0, not 2\.0; encoder is \{'name': 'other'\}, not \{'name': 'T'\}"
    with pytest.raises(StoreError, match=message):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")


@pytest.mark.faults
def test_a_damaged_store_is_not_merged(tmp_path: Path):
    write(tmp_path / "a", "x")
    data = bytearray((tmp_path / "a" / "00000_data.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a" / "00000_data.npy").write_bytes(data)
    with pytest.raises(StoreError, match="bytes 0 to 131 are not what was written"):
        merge([tmp_path / "a"], tmp_path / "c")


@pytest.mark.faults
def test_a_merge_does_not_go_into_what_is_something_else(tmp_path: Path):
    stores = [write(tmp_path / "a", "x"), write(tmp_path / "b", "y")]
    write(tmp_path / "c", "y")
    with pytest.raises(StoreError, match=r"c: holds 'y' where a merge would have 'x'"):
        merge(stores, tmp_path / "c")
    write(tmp_path / "d", "x", "y", "z")
    with pytest.raises(StoreError, match=r"d: holds 'z' where a merge would have None"):
        merge(stores, tmp_path / "d")
    with pytest.raises(StoreError, match=r"b: is one of the stores that are merged"):
        merge(stores, tmp_path / "a" / ".." / "b")


def test_a_merge_that_is_done_is_not_done_again(tmp_path: Path):
    stores = [write(tmp_path / "a", "x"), write(tmp_path / "b", "y")]
    merge(stores, tmp_path / "c")
    before = content(tmp_path / "c")
    report = merge(stores, tmp_path / "c")
    assert (report.added, report.skipped) == (0, 2)
    assert content(tmp_path / "c") == before


KILLED = """
import os, signal, sys
from pathlib import Path
from mmvt.features.merge import merge

left = int(sys.argv[1])

def stop(name: str) -> None:
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

merge([Path(name) for name in sys.argv[3:]], Path(sys.argv[2]), shard_size=3, on_video=stop)
"""


@pytest.mark.faults
@pytest.mark.parametrize("after", [1, 3, 5, 8])
def test_a_killed_merge_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, after: int):
    stores = [write(tmp_path / "a", *"pqrs"), write(tmp_path / "b", *"tuvw")]
    merge(stores, tmp_path / "straight", shard_size=3)
    command = [sys.executable, "-c", KILLED, str(after), str(tmp_path / "c"), *map(str, stores)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    report = merge(stores, tmp_path / "c", shard_size=3)
    assert (report.added, report.skipped) == (8 - after, after)
    assert content(tmp_path / "c") == content(tmp_path / "straight")
