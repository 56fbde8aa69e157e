"""Tests of MSVD: clips with many captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import DataError
from mmvt.processors.meta.msvd import MSVDMetaProcessor, read_captions
from mmvt.processors.text.msvd import MSVDTextProcessor
from tests.standins import built, write_msvd

CAPTIONS = "data/annotations/Video-Captioning__data_training_data_training_label.json"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_msvd(tmp_path_factory.mktemp("msvd"), train=3, val=1, captions=4)


def examples(fields: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    return list(built(MSVDMetaProcessor, fields, **more))


def test_a_clip_trains_with_all_captions_and_is_asked_for_by_each(files: dict[str, Any]) -> None:
    train = examples(files, split="train")
    assert train[0] == ("mv89psg6zh00_0_9.avi", "mv89psg6zh00_0_9.avi")
    assert len(train) == 3
    name = "mv89psg6zh03_3_12.avi"
    assert examples(files, split="valid") == [(name, f"{name}#{number}") for number in range(1, 5)]
    assert examples(files, split="valid", per="video") == [(name, name)]
    assert [video for video, _ in examples(files, split="test")] == ["mv89psg6zh04_4_13.avi"] * 4


def test_texts_are_all_captions_or_one(files: dict[str, Any]) -> None:
    texts = built(MSVDTextProcessor, files)
    clips = texts("mv89psg6zh00_0_9.avi")
    assert [len(cap) for cap in clips.cap] == [6, 7, 8, 9]
    assert texts("mv89psg6zh00_0_9.avi#3").cap == [clips.cap[2]]
    with pytest.raises(DataError, match=r"captions.json: there is no text id 'x'"):
        texts("x")


def test_the_releases_own_file_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "AllVideoDescriptions.txt"
    path.write_text("# one a line\n\n-v_1_2 a dog runs\nw_3_4 a cat\n-v_1_2 the dog\n")
    assert read_captions(path) == {"-v_1_2": ["a dog runs", "the dog"], "w_3_4": ["a cat"]}


def test_the_real_file_has_24232_captions(shared: Path, tmp_path: Path) -> None:
    captions = read_captions(shared / CAPTIONS)
    assert (len(captions), sum(map(len, captions.values()))) == (1450, 24232)
    clips = tmp_path / "train_list.txt"
    clips.write_text("\n".join(name.removeprefix("./") for name in captions))
    fields = {"annotations": str(shared / CAPTIONS), "train_path": str(clips)}
    assert len(examples(fields, split="train")) == 1450
    assert len(examples(fields, split="train", per="caption")) == 24232


@pytest.mark.faults
def test_captions_that_are_wrong_are_told_by_place(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text(
        json.dumps([{"id": "a", "caption": ["x", ""]}, {"caption": "x"}, 3, {"id": "a"}])
    )
    with pytest.raises(DataError) as raised:
        read_captions(path)
    problems = str(raised.value).replace(f"{path}: ", "").splitlines()
    assert sorted(problems) == [
        "clip 0: caption 2 is empty",
        "clip 1: caption is no list",
        "clip 1: no 'id'",
        "clip 2: is no mapping of keys and values",
        "clip 3: no 'caption'",
        "clip 3: the same id 'a' as clip 0",
    ]
    path.write_text("[]")
    with pytest.raises(DataError, match=r"captions.json: holds no clip"):
        read_captions(path)
    path = tmp_path / "captions.txt"
    path.write_text("a x\nb\n")
    with pytest.raises(DataError, match=r"captions.txt:2: caption is empty"):
        read_captions(path)


@pytest.mark.faults
def test_lists_that_are_wrong_are_refused(files: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("gone.avi\n")
    with pytest.raises(DataError, match=r"no caption of 1 clips of .*list.txt: gone.avi"):
        examples(files, split="train", train_path=str(path))
    path.write_text("a\n../b\na\n")
    with pytest.raises(DataError, match=r":2: .* leads out of its folder\n.*:3: the same clip 'a'"):
        examples(files, split="train", train_path=str(path))
    path.write_text("\n")
    with pytest.raises(DataError, match=r"list.txt: there is no clip in the list"):
        examples(files, split="train", train_path=str(path))
    with pytest.raises(DataError, match=r"1 videos are in both .*: mv89psg6zh03_3_12.avi"):
        examples(files, split="valid", train_path=files["val_path"])
