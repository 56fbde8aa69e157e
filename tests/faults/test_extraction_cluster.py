"""Extraction on a Ray cluster whose workers and nodes die (T02, T18, T21)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmvt.datasets.store import FeatureStore
from tests.faults.cluster import Cluster, environment_of, processes_of, running_cluster
from tests.faults.runs import SMALL_CLIPS, decoders_of, digest, run
from tests.videos import write_video

pytest.importorskip("ray")

pytestmark = [pytest.mark.faults, pytest.mark.extraction, pytest.mark.slow]

EXTRACT = """
import json, sys
from pathlib import Path
from mmvt.errors import MMVTError
from mmvt.features.find import Video, find_videos
from mmvt.features.ray_backend import EncodingRecipe, RayBackend
from tests.faults.cluster import DyingEncoder, WaitingEncoder
from tests.faults.runs import TWO_FRAMES, run

videos, store, address, make, *arguments = sys.argv[1:]
made = {"waiting": WaitingEncoder, "dying": DyingEncoder}[make]
words = [Path(arguments[0]), *map(int, arguments[1:])]
recipe = EncodingRecipe(made, tuple(words), TWO_FRAMES)
found = [*find_videos(videos).videos, *[Video("gone", Path("gone.mp4"))] * (make == "dying")]
try:
    report = run(
        found, Path(store), shard_size=3, backend=RayBackend(recipe, address=address, retries=1)
    )
except MMVTError as error:
    sys.exit(f"error: {error}")
print(json.dumps({failure.id: failure.reason for failure in report.failures}))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    for number in range(13):
        write_video(folder / f"{number:02}.mp4", 4 + number)
    (folder / "05 broken.mp4").write_bytes(b"no video")
    return folder


def start(cluster: Cluster, *words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", EXTRACT, *map(str, words)],
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def failures(said: str) -> dict[str, str]:
    """Return what a run says at its end; Ray has said before what it lost."""
    found: dict[str, str] = json.loads(said.splitlines()[-1])
    return found


def test_t18_a_cluster_that_loses_a_node_in_the_middle_writes_the_same_bytes(
    cluster: Cluster, videos: Path, tmp_path: Path
) -> None:
    run(videos, tmp_path / "local", shard_size=3)
    cluster.tell("add")
    process = start(cluster, videos, tmp_path / "ray", cluster.address, "waiting", tmp_path)
    while not (tmp_path / "stalled").exists():  # the node has a task, and will not end it
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    cluster.tell("kill")
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    assert failures(said) == {"05 broken.mp4": "is no video, or lacks its header"}
    assert digest(tmp_path / "ray") == digest(tmp_path / "local")


def test_t21_a_killed_worker_of_a_cluster_is_replaced(
    cluster: Cluster, videos: Path, tmp_path: Path
) -> None:
    process = start(cluster, videos, tmp_path / "ray", cluster.address, "dying", tmp_path, "1")
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    reasons = failures(said)
    assert reasons.pop("gone").startswith("is not there on the node ")
    assert list(reasons) == ["05 broken.mp4"]
    run(videos, tmp_path / "local", shard_size=3)
    straight = digest(tmp_path / "local")
    found = digest(tmp_path / "ray")
    assert found.pop("failures.jsonl").startswith(straight.pop("failures.jsonl"))
    assert found == straight


def test_t21_workers_of_a_cluster_that_die_each_time_end_the_run_with_an_error(
    cluster: Cluster, videos: Path, tmp_path: Path
) -> None:
    process = start(cluster, videos, tmp_path / "s", cluster.address, "dying", tmp_path, "999")
    while not (tmp_path / "death 0").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    began = time.monotonic()
    _, errors = process.communicate()
    assert time.monotonic() - began < 90
    assert process.returncode == 1
    assert f"error: the Ray cluster {cluster.address} lost a task" in errors
    assert "Traceback" not in errors
    assert decoders_of(process.pid) == []
    again = start(cluster, videos, tmp_path / "s", cluster.address, "dying", tmp_path, "0")
    said, errors = again.communicate()
    assert again.returncode == 0, errors
    assert len(failures(said)) == 2


def test_t02_a_cluster_that_does_not_let_us_in_is_an_error(
    cluster: Cluster, videos: Path, tmp_path: Path
) -> None:
    stranger = Cluster(cluster.process, {**cluster.environment, "RAY_AUTH_TOKEN": "0" * 64})
    process = start(stranger, videos, tmp_path / "s", cluster.address, "dying", tmp_path, "0")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert f"error: the Ray cluster {cluster.address}: " in errors
    assert "RAY_AUTH_MODE and its token must be as they are there" in errors


def test_t02_the_command_says_the_same_of_bad_files_on_a_cluster_and_here(
    cluster: Cluster, clips: Path, tmp_path: Path
) -> None:
    (clips / "text.mp4").write_text("once upon a time")
    words = [sys.executable, "-m", "mmvt_cli", "extract", "clips"]
    words += ["--encoder", "EfficientNetLite0:frame_size=32", "--segments", "2", "--out"]
    ways = {"ray": ["--backend", "ray", "--ray-address", cluster.address], "local": []}
    tables = []
    for name, options in ways.items():
        done = subprocess.run(
            [*words, name, *options],
            cwd=tmp_path,  # which the nodes are not in
            env=cluster.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 3, done.stderr
        tables.append(done.stdout)
    assert tables[0] == tables[1]
    assert "4 extracted, 0 there already, 1 failed" in tables[0]
    assert digest(tmp_path / "ray") == digest(tmp_path / "local")


def test_t21_a_cluster_that_is_gone_ends_the_run_with_an_error(
    cluster: Cluster, videos: Path, tmp_path: Path
) -> None:
    cluster.tell("add")
    process = start(cluster, videos, tmp_path / "s", cluster.address, "waiting", tmp_path)
    while not (tmp_path / "stalled").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    address = cluster.address
    assert cluster.tell("end") == "ended"
    began = time.monotonic()
    _, errors = process.communicate()
    assert time.monotonic() - began < 90
    assert process.returncode == 1
    assert f"the Ray cluster {address}" in errors
    assert processes_of(cluster.environment["RAY_TMPDIR"]) == []


LOCAL = """
import sys
from pathlib import Path
from mmvt.features.ray_backend import EncodingRecipe, RayBackend
from tests.faults.runs import TWO_FRAMES, ColourEncoder, run

def look(video, reason):
    import ray
    assert ray.get_runtime_context().gcs_address.startswith("127.0.0.1:")
    if len(sys.argv) > 3:
        import os
        os.kill(os.getpid(), 9)

recipe = EncodingRecipe(ColourEncoder, (), TWO_FRAMES)
run(Path(sys.argv[1]), Path(sys.argv[2]), backend=RayBackend(recipe), on_video=look)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_t21_a_cluster_of_this_machine_ends_with_the_run(
    clips: Path, tmp_path: Path, killed: bool
) -> None:
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        words = [sys.executable, "-c", LOCAL, str(clips), str(tmp_path / "s")]
        done = subprocess.run([*words, *["x"] * killed], env=environment_of(folder), check=False)
        assert done.returncode == (-9 if killed else 0)
        deadline = time.monotonic() + 90
        while processes_of(folder):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    if not killed:
        assert list(FeatureStore.open(tmp_path / "s").ids) == sorted(SMALL_CLIPS)
