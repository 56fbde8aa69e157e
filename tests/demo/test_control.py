"""Controls of the demo."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmvt.demo.control import motion_recall, read_rows, shuffle_captions

HEADER = "video,caption,start,end,split,colour,shape,motion,place\n"


def write(path: Path) -> Path:
    lines = [f"v{i},caption {i} {k},0,1,train,red,ball,up,left\n" for i in range(9) for k in (1, 2)]
    lines += ["t1,held out,0,1,test,red,ball,up,left\n", "w1,watched,0,1,valid,red,ball,up,left\n"]
    path.write_text(HEADER + "".join(lines))
    return path


def test_captions_of_training_are_dealt_out_whole_and_none_is_lost(tmp_path: Path):
    path = write(tmp_path / "captions.csv")
    shuffle_captions(path, tmp_path / "out.csv", seed=1)
    before, after = read_rows(path), read_rows(tmp_path / "out.csv")
    assert Counter(r["caption"] for r in before) == Counter(r["caption"] for r in after)
    of_video = {row["video"]: set[str]() for row in after}
    for row in after:
        of_video[row["video"]].add(row["caption"].rsplit(" ", 1)[0])
    assert all(len(names) == 1 for names in of_video.values())
    moved = [v for v, (name,) in of_video.items() if v[0] == "v" and name != f"caption {v[1:]}"]
    assert len(moved) > 4


def test_held_out_captions_stay_and_the_same_seed_deals_alike(tmp_path: Path):
    path = write(tmp_path / "captions.csv")
    for name in ("one.csv", "two.csv"):
        shuffle_captions(path, tmp_path / name, seed=3)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    kept = [row for row in read_rows(tmp_path / "one.csv") if row["split"] != "train"]
    assert [(row["video"], row["caption"]) for row in kept] == [
        ("t1", "held out"),
        ("w1", "watched"),
    ]


def predictions(scores: np.ndarray) -> dict[str, np.ndarray]:
    count = len(scores)
    ids = np.array([f"v{i}" for i in range(count)])
    return {
        "text_ids": ids,
        "video_ids": ids,
        "text_video": np.arange(count),
        "scored_texts": ids,
        "scored_videos": ids,
        "text_vectors": scores,
        "video_vectors": np.eye(count),
    }


def test_only_videos_of_the_same_group_compete():
    scores = np.array([[2.0, 1.0, 9.0], [3.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
    groups = {"v0": ("red",), "v1": ("red",), "v2": ("blue",)}
    found = motion_recall(predictions(scores), groups)
    # v0 beats v1, v1 loses to v0, v2 has nobody to compete with
    assert (found.recall, found.chance, found.captions) == (0.5, 0.5, 2)


def test_a_tie_counts_as_a_guess():
    groups = {f"v{i}": ("red",) for i in range(4)}
    found = motion_recall(predictions(np.ones((4, 4))), groups)
    assert found.recall == pytest.approx(0.25)
    assert found.chance == pytest.approx(0.25)
