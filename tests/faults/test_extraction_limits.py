"""Ids that lead elsewhere, odd clocks, locks and names, and a million videos (T35, T49, T50)."""

from __future__ import annotations

import csv
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import time
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from mmvt.datasets.manifest import read_manifest
from mmvt.datasets.store import FeatureStore
from mmvt.errors import DataError, StoreError
from mmvt.features.find import Video, find_videos
from mmvt.features.shard import StoreWriter
from mmvt.files import atomic_write_json
from mmvt.processors.video.npy import NpyVideoProcessor
from mmvt_cli import extract
from tests.datasets.test_store import MILLION, million
from tests.faults.runs import ROOT, SMALL_CLIPS, digest, run

__all__ = ["million"]

pytestmark = [pytest.mark.faults, pytest.mark.extraction]

ENCODER = "EfficientNetLite0:frame_size=32"
HARMFUL = ["../../etc/x", "/etc/passwd", "a\0b", "a\nb", "x" * 300, "a/../../x", "", "a\\..\\b"]


def everything_in(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder and its subfolders."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- T35


@pytest.mark.parametrize("video_id", HARMFUL)
def test_t35_an_id_that_leads_elsewhere_is_refused_and_touches_nothing(
    clips: Path, tmp_path: Path, video_id: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    before = everything_in(tmp_path)
    videos = [Video(video_id, clips / SMALL_CLIPS[0])]
    with pytest.raises(DataError, match=r"the id .* (leads out|holds|is longer|is empty)"):
        run(videos, root / "store")
    with pytest.raises(DataError):
        NpyVideoProcessor(vfeat_dir=root)(video_id)
    after = everything_in(tmp_path)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("root/store/") for name in after.keys() - before.keys())


def test_t35_names_in_a_csv_that_lead_elsewhere_are_listed_and_the_others_extracted(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [name for name in HARMFUL if "\0" not in name and name]
    with (clips / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["video"], *([name] for name in [*names, *SMALL_CLIPS])])
    words = [str(clips / "list.csv"), "--encoder", ENCODER, "--segments", "1"]
    assert extract.main([*words, "--out", str(tmp_path / "s")]) == 3
    table = capsys.readouterr().out
    assert f"4 extracted, 0 there already, {len(names)} failed" in table
    assert list(FeatureStore.open(tmp_path / "s").ids) == [*SMALL_CLIPS]


def test_t35_a_leading_dash_is_a_letter_like_any_other(clips: Path, tmp_path: Path) -> None:
    (clips / SMALL_CLIPS[0]).rename(clips / "-rf --version.mp4")
    run(clips, tmp_path / "s")
    assert "-rf --version.mp4" in FeatureStore.open(tmp_path / "s")


def test_t35_two_spellings_of_a_name_are_one_id_and_the_second_is_refused(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("NFC", "NFD"):
        shutil.copy(clips / SMALL_CLIPS[0], clips / unicodedata.normalize(form, "é.mp4"))
    words = [str(clips), "--encoder", ENCODER, "--segments", "1", "--out", str(tmp_path / "s")]
    assert extract.main(words) == 3
    assert "has the same id as" in capsys.readouterr().out
    assert len(FeatureStore.open(tmp_path / "s")) == 5


def test_t35_links_out_of_the_folder_are_read_at_most(clips: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(clips / SMALL_CLIPS[0], outside / "v.mp4")
    np.save(outside / "v.npy", np.ones((2, 3), np.float32))
    (clips / "folder").symlink_to(outside)
    (clips / "v.npy").symlink_to(outside / "v.npy")
    before = everything_in(outside)
    assert "folder/v.mp4" not in {video.id for video in find_videos(clips).videos}
    run(clips, tmp_path / "s")
    with pytest.raises(StoreError, match=r"v\.npy: leads out of"):
        NpyVideoProcessor(vfeat_dir=clips)("v")
    assert everything_in(outside) == before


def test_t35_a_tar_file_is_no_video_and_is_not_unpacked(clips: Path, tmp_path: Path) -> None:
    with tarfile.open(clips / "a.mp4", "w") as archive:
        member = archive.gettarinfo(str(clips / SMALL_CLIPS[0]), "../x.mp4")
        with (clips / SMALL_CLIPS[0]).open("rb") as file:
            archive.addfile(member, file)
    report = run(clips, tmp_path / "s")
    assert [failure.id for failure in report.failures] == ["a.mp4"]
    assert not (tmp_path / "x.mp4").exists()


# --- T49


def test_t49_a_clock_that_jumps_back_changes_nothing(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(clips, tmp_path / "straight", shard_size=2)
    videos = find_videos(clips).videos
    run(videos[:3], tmp_path / "s", shard_size=2)
    began = time.time()
    calls = iter(range(1_000_000))
    monkeypatch.setattr(time, "time", lambda: began - 1e6 * next(calls))
    monkeypatch.setattr(time, "time_ns", lambda: int((began - 1e6 * next(calls)) * 1e9))
    for path in (tmp_path / "s").iterdir():
        os.utime(path, (2**32, 2**32))  # written in the future, as it seems now
    run(videos, tmp_path / "s", shard_size=2)
    found = {name: data for name, data in digest(tmp_path / "s").items() if "00000" in name}
    straight = {name: data for name, data in digest(tmp_path / "straight").items() if name in found}
    assert found == straight
    assert list(FeatureStore.open(tmp_path / "s", verify="full").ids) == sorted(SMALL_CLIPS)


def test_t49_a_file_system_without_locks_is_refused_by_name(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(file: IO[str], operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreError, match="s: cannot be written: No locks available"):
        run(clips, tmp_path / "s")
    monkeypatch.undo()
    assert run(clips, tmp_path / "s").extracted == 4


def test_t49_names_that_differ_in_case_alone_are_two_videos_on_any_file_system(
    clips: Path, tmp_path: Path
) -> None:
    shutil.copy(clips / SMALL_CLIPS[0], tmp_path / "one.mp4")
    shutil.copy(clips / SMALL_CLIPS[1], tmp_path / "other.mp4")
    # as a case-insensitive disk would not let both be there
    videos = [Video("Clip.mp4", tmp_path / "one.mp4"), Video("clip.mp4", tmp_path / "other.mp4")]
    run(videos, tmp_path / "s", shard_size=1)
    store = FeatureStore.open(tmp_path / "s")
    assert list(store.ids) == ["Clip.mp4", "clip.mp4"]
    assert store["Clip.mp4"].tolist() != store["clip.mp4"].tolist()
    names = [path.name for path in (tmp_path / "s").iterdir()]
    assert len({name.lower() for name in names}) == len(names)


# --- T50


PLAN = """
import resource, sys, time
from pathlib import Path
from mmvt.datasets.store import FeatureStore
from mmvt.features.extract import FrameOptions, extract
from mmvt.features.find import Video
from tests.faults.runs import MillionEncoder

folder, count = Path(sys.argv[1]), int(sys.argv[2])
videos = [Video(f"v{number:07d}", Path("v")) for number in range(count)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
report = extract(videos, MillionEncoder(), folder, FrameOptions(fps=1.0))
print(time.process_time() - began)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(report.skipped, report.extracted, len(report.failures))
"""


def test_t50_a_run_over_a_million_videos_that_are_there_starts_in_five_seconds(
    million: Path,
) -> None:
    made_by = {"name": "t", "frames": {"num_segments": None, "short_side": 32}}
    manifest = replace(read_manifest(million), encoder=made_by)
    atomic_write_json(million / "manifest.json", manifest.to_json())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", PLAN, str(million), str(MILLION)]
    seconds, kibibytes, counts = subprocess.check_output(
        words, env=environment, text=True
    ).splitlines()
    assert counts == f"{MILLION} 0 0"
    assert float(seconds) < 15  # threefold, for slow machines
    assert int(kibibytes) < 512 * 1024


def test_t50_adding_to_a_million_videos_reads_none_of_them(million: Path, clips: Path) -> None:
    options = FeatureStore.open(million).manifest.options()
    with StoreWriter(million, append=True, **options) as writer:
        writer.add("new", np.ones((1, 2), np.float32))
        assert "v0777777" in writer
    assert len(FeatureStore.open(million)) == MILLION + 1
