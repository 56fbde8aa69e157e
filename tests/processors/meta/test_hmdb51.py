"""Tests of HMDB51: actions and their three splits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.meta.hmdb51 import HMDB51MetaProcessor, read_actions
from mmvt.processors.text.hmdb51 import HMDB51TextProcessor
from tests.standins import built, write_hmdb51

REAL = "data/annotations/MIL-NCE_HowTo100M__csv_hmdb51.csv"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_hmdb51(tmp_path_factory.mktemp("hmdb51"), videos=12)


def numbers(fields: dict[str, Any], **more: Any) -> list[int]:
    meta = built(HMDB51MetaProcessor, fields, **more)
    return [int(video.removesuffix(".avi").rpartition("_")[2]) for video, _ in meta]


def test_each_fold_trains_on_some_and_tests_others(files: dict[str, Any]) -> None:
    assert numbers(files, split="test", fold=1) == [0, 1, 2, 3]
    assert numbers(files, split="valid", fold=1) == [0, 1, 2, 3]
    assert numbers(files, split="train", fold=1) == [4, 5, 6, 7, 8, 9, 10, 11]
    assert numbers(files, split="test", fold=3) == [8, 9, 10, 11]
    assert numbers(files, split="test") == list(range(12))
    with pytest.raises(ConfigError, match="fold is unset, but training needs one"):
        numbers(files, split="train")


def test_a_clip_has_the_name_and_the_number_of_its_action(files: dict[str, Any]) -> None:
    texts = built(HMDB51TextProcessor, files)
    clips = texts("pour_clip_u_nm_np1_ba_goo_5.avi")
    assert texts.labels == ["bake", "cut", "pour", "stir"]
    assert (clips.label, clips.folds) == (2, (1, 2, 1))
    assert clips.cap == [texts.label_tokens()[2]]
    with pytest.raises(DataError, match=r"hmdb51.csv: there is no text id 'x'"):
        texts("x")


def test_the_real_file_has_51_actions_and_1530_clips_to_test(shared: Path) -> None:
    actions = read_actions(shared / REAL)
    assert len(actions) == 6766
    labels = {action.label for action in actions}
    assert len(labels) == 51
    assert {"brush hair", "wave"} < labels
    for fold in range(3):
        counts = Counter(action.folds[fold] for action in actions)
        assert counts == {0: 1666, 1: 3570, 2: 1530}
    assert len(HMDB51MetaProcessor(split="test", annotations=shared / REAL, fold=1)) == 1530


@pytest.mark.faults
def test_all_that_is_wrong_is_told_by_lines(tmp_path: Path) -> None:
    path = tmp_path / "hmdb51.csv"
    path.write_text(
        "video_id,label,split1,split2,split3\na.avi,run,1,2,3\n,run,0,0,0\na.avi,,0,x,1\n"
    )
    with pytest.raises(DataError) as raised:
        read_actions(path)
    assert str(raised.value).replace(str(path), "FILE").splitlines() == [
        "FILE:2: split3 is 3, but must be 0, 1 or 2",
        "FILE:3: video_id is empty",
        "FILE:4: split2 'x' is no whole number",
        "FILE:4: label is empty",
        "FILE:4: the same video_id 'a.avi' as FILE:2",
    ]
    path.write_text("video_id,label,split1,split2,split3\n")
    with pytest.raises(DataError, match=r"hmdb51.csv: holds no clip"):
        read_actions(path)
