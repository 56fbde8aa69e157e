"""Writing a feature store, and reading it back."""

from __future__ import annotations

import hashlib
import json
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


@settings(deadline=None, max_examples=40)
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
    assert found.metadata("a") == {"duration": 1.5, "source": "a.mp4", "steps": 3}
    np.testing.assert_array_equal(found.times("a"), [0.0, 0.5, 1.1])
    np.testing.assert_array_equal(found.times("b"), [0.0, 0.5])


def test_unicode_twins_are_one_id(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("caf\u00e9", rows(1))
        with pytest.raises(StoreError, match="there is a video .* already"):
            store.add("cafe\u0301", rows(2))
    assert "cafe\u0301" in FeatureStore.open(tmp_path / "s")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (rows(np.nan), "rows of 'a' are not finite"),
        (rows(np.inf), "rows of 'a' are not finite"),
        (rows(70000.0), "rows of 'a' are too large for float16"),
        (rows(1, 0), r"rows of 'a' have shape \(0, 4\), but must be \(1 or more, 4\)"),
        (np.zeros((3, 5)), r"rows of 'a' have shape \(3, 5\)"),
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


def test_times_of_another_number_are_refused(tmp_path: Path):
    with writer(tmp_path / "s") as store, pytest.raises(StoreError, match="3 steps, but 1 times"):
        store.add("a", rows(1), times=np.zeros(1))


@pytest.mark.parametrize("video_id", ["", "../x", "/etc/x", "-rf", "a\0b", "a\nb", "x" * 256])
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


def test_what_was_added_before_an_error_is_kept(tmp_path: Path):
    def write() -> None:
        with writer(tmp_path / "s") as store:
            store.add("a", rows(1))
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert list(FeatureStore.open(tmp_path / "s", verify="full").ids) == ["a"]


def test_an_empty_store_can_be_opened_and_added_to(tmp_path: Path):
    with writer(tmp_path / "s"):
        pass
    assert len(FeatureStore.open(tmp_path / "s", verify="full")) == 0
    assert "a" not in FeatureStore.open(tmp_path / "s")
    with writer(tmp_path / "s", append=True) as store:
        store.add("a", rows(1))
    assert "a" in FeatureStore.open(tmp_path / "s")


WRITE = """
import sys
from pathlib import Path
import numpy as np
from mmvt.features.shard import StoreWriter
folder = Path(sys.argv[1])
with StoreWriter(
    folder, dim=4, fps=2.0, encoder={"name": "t"}, shard_size=3, append=True
) as store:
    for number in range(60):
        if f"v{number:02d}" not in store:
            store.add(f"v{number:02d}", np.full((200, 4), number, np.float32))
            print(number, flush=True)
"""


COMMAND = [sys.executable, "-c", WRITE]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("after", [1, 17, 40])
def test_a_writer_that_is_killed_and_started_again_ends_with_the_same_bytes(
    tmp_path: Path, after: int
):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    subprocess.run([*COMMAND, str(straight)], env=ENVIRONMENT, check=True)
    with subprocess.Popen(
        [*COMMAND, str(killed)], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    subprocess.run([*COMMAND, str(killed)], env=ENVIRONMENT, check=True)
    FeatureStore.open(killed, verify="full")
    assert digest(killed) == digest(straight)


def test_the_manifest_is_json_with_a_version(tmp_path: Path):
    with writer(tmp_path / "s") as store:
        store.add("a", rows(1))
    data = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert (data["format"], data["version"]) == ("mmvt-store", 1)
