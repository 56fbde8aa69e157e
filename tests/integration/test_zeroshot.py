"""From video files to figures and to a search, with the commands that a user types."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def mmvt(*words: str, code: int = 0) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "mmvt_cli", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_bridge_finds_real_clips_without_training(shared: Path, tmp_path: Path) -> None:
    clips = [
        clip
        for clip in json.loads((shared / "data" / "MANIFEST.json").read_text())["clips"]
        if clip["label_kind"] != "human gesture label" and not clip["id"].startswith("VGen__")
    ]
    videos, features = tmp_path / "videos", tmp_path / "features"
    videos.mkdir()
    for clip in clips:
        shutil.copy(shared / "data" / clip["file"], videos)
    options = ["--encoder", "EfficientNetLite0", "--segments", "8", "--short-side", "256"]
    mmvt("extract", str(videos), *options, "--out", str(features))
    # captions are written only now that all features are there
    with (tmp_path / "captions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "caption", "split"])
        rows.writerows([Path(clip["file"]).name, clip["caption"], "test"] for clip in clips)
    data = [f"dataset.annotations={tmp_path}/captions.csv", f"dataset.store={features}"]
    out = ["--checkpoint", "none", "--out", str(tmp_path / "eval")]
    mmvt("predict", "projects/bridge/zeroshot.yaml", *out, *data)
    results = json.loads((tmp_path / "eval" / "results.json").read_text())
    print(f"\nN {results['protocol']['captions']}, ids {results['protocol']['ids_sha256']}")
    for direction in ("text_to_video", "video_to_text"):
        figures = {f"R@{k}": round(100 * results[direction][f"R@{k}"], 1) for k in (1, 5, 10)}
        print(direction, figures)
    assert results["text_to_video"]["queries"] == len(clips) == 81
    assert results["text_to_video"]["R@5"] >= 0.70
    assert results["video_to_text"]["R@5"] >= 0.65


def test_folder_with_odd_names_and_a_broken_file_can_be_searched(
    shared: Path, tmp_path: Path
) -> None:
    videos, index = tmp_path / "videos", tmp_path / "index"
    videos.mkdir()
    source = shared / "data" / "videos"
    shutil.copy(source / "Ask-Anything__hitting_baseball.mp4", videos / "a ball game.mp4")
    shutil.copy(source / "Ask-Anything__making_cake.mp4", videos / "Küche.mp4")
    (videos / "broken.mp4").write_bytes(b"no video")
    model = ["--model", "projects/bridge/zeroshot.yaml", "--out", str(index)]
    assert "broken.mp4" in mmvt("index", str(videos), *model, code=3)
    answer = json.loads(mmvt("search", str(index), "somebody bakes a cake", "--json"))
    assert [result["id"] for result in answer["results"]] == ["Küche.mp4", "a ball game.mp4"]
