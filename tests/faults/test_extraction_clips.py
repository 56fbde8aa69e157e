"""A whole extraction of real clips, three of them broken (T01, T02)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.store import FeatureStore
from mmvt_cli import extract
from tests.faults.runs import at_event, digest

pytestmark = [pytest.mark.faults, pytest.mark.extraction, pytest.mark.slow]

OPTIONS = ["--encoder", "EfficientNetLite0:frame_size=64", "--fps", "1", "--workers", "2"]


@pytest.fixture(scope="module")
def videos(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of all good clips and three broken ones."""
    folder = tmp_path_factory.mktemp("all") / "videos"
    shutil.copytree(shared / "data" / "videos", folder)
    first, second, *_ = sorted(folder.glob("*.mp4"))
    (folder / "0 bytes.mp4").touch()
    (folder / "half.mp4").write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    (folder / "text.mp4").write_text(f"Not {second.name}, but words.\n" * 500)
    return folder


BROKEN = ["0 bytes.mp4", "half.mp4", "text.mp4"]


def test_t01_all_good_clips_have_rows_and_the_three_broken_ones_a_reason(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = sorted(path.name for path in videos.iterdir() if path.name not in BROKEN)
    out = tmp_path / "store"
    words = [str(videos), *OPTIONS, "--decoders", "2", "--out", str(out)]
    assert extract.main(words) == 3
    assert f"{len(good)} extracted, 0 there already, 3 failed" in capsys.readouterr().out
    store = FeatureStore.open(out, verify="full")
    assert sorted(store.ids) == good
    assert all(np.abs(store[name]).max() > 0 for name in good)
    lines = (out / "failures.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == BROKEN
    assert all(json.loads(line)["reason"] for line in lines)

    before = digest(out)
    for path in videos.iterdir():  # nobody can read a frame of them any more
        os.truncate(path, 0)
    started: list[object] = []
    with at_event({"subprocess.Popen"}, lambda *arguments: started.append(arguments[1])):
        assert extract.main(words) == 3
    assert started == []  # no decoder
    assert f"0 extracted, {len(good)} there already, 3 failed" in capsys.readouterr().out
    assert digest(out) == before
