"""Tests of DiDeMo: sentences with their moments, and paragraphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import DataError
from mmvt.processors.labels import MomentClips
from mmvt.processors.meta.didemo import (
    DiDeMoMetaProcessor,
    DiDeMoParagraphMetaProcessor,
    read_moments,
)
from mmvt.processors.text.didemo import DiDeMoTextProcessor
from tests.standins import built, write_didemo

VAL = "data/annotations/LocalizingMoments__data_val_data.json"
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_didemo(tmp_path_factory.mktemp("didemo"), train=3, val=2)


def test_every_sentence_is_an_example(files: dict[str, Any]) -> None:
    found = {split: list(built(DiDeMoMetaProcessor, files, split=split)) for split in SPLITS}
    assert [len(found[split]) for split in SPLITS] == [6, 4, 4]
    assert found["train"][:2] == [
        ("train@N00_6060447507_dc1a90b8ef.mov", "40010"),
        ("train@N00_6060447507_dc1a90b8ef.mov", "40012"),
    ]


def test_a_sentence_comes_with_what_each_annotator_saw(files: dict[str, Any]) -> None:
    clips = built(DiDeMoTextProcessor, files)("40012")
    assert isinstance(clips, MomentClips)
    assert clips.moments.tolist() == [[2, 3], [2, 3], [2, 3], [2, 5]]
    assert (clips.chunk, len(clips)) == (5.0, 1)
    with pytest.raises(DataError, match="there is no text id '1'"):
        built(DiDeMoTextProcessor, files)("1")


def test_a_paragraph_is_all_sentences_in_the_order_of_the_file(files: dict[str, Any]) -> None:
    meta = built(DiDeMoParagraphMetaProcessor, files, split="train")
    texts = built(DiDeMoTextProcessor, files)
    assert len(meta) == 3
    video, text_id = meta[0]
    assert video == text_id
    assert texts(text_id).cap == [texts("40010").cap[0] + texts("40012").cap[0]]


def test_the_real_file_has_4180_sentences(shared: Path) -> None:
    assert len(DiDeMoMetaProcessor(split="valid", val_path=shared / VAL)) == 4180
    assert len(DiDeMoParagraphMetaProcessor(split="valid", val_path=shared / VAL)) == 1094
    assert {len(moment.times) for moment in read_moments(shared / VAL)} == {4, 7}


@pytest.mark.faults
def test_all_that_is_wrong_is_told_by_numbers(tmp_path: Path) -> None:
    good = {
        "num_segments": 5,
        "description": "a",
        "times": [[0, 4]] * 4,
        "video": "v.mov",
        "annotation_id": 1,
    }
    bad = [
        good | {"times": [[0, 5], [1, 0], [0, 0, 0], [-1, 0], [0, True]]},
        good | {"annotation_id": "x", "description": "\n"},
        {key: value for key, value in good.items() if key != "video"} | {"annotation_id": 2},
        good | {"annotation_id": 3, "num_segments": 9, "times": [[0, 6]]},
    ]
    path = tmp_path / "val_data.json"
    path.write_text(json.dumps([good, *bad]))
    with pytest.raises(DataError) as raised:
        read_moments(path)
    assert str(raised.value).replace(f"{path}: annotation", "").splitlines() == [
        " 1: times hold [0, 5], which is no part of 5 segments",
        " 1: times hold [1, 0], which is no part of 5 segments",
        " 1: times hold [0, 0, 0], which is no part of 5 segments",
        " 1: times hold [-1, 0], which is no part of 5 segments",
        " 1: times hold [0, True], which is no part of 5 segments",
        " 2: annotation_id 'x' is no whole number",
        " 2: description is empty",
        " 3: no 'video'",
        " 4: times hold [0, 6], which is no part of 9 segments",
        " 1: the same annotation_id '1' as  0",
    ]
    path.write_text("[]")
    with pytest.raises(DataError, match=r"val_data.json: holds no annotation"):
        read_moments(path)
    path.write_text("{}")
    with pytest.raises(DataError, match=r"val_data.json: is no list"):
        read_moments(path)


@pytest.mark.faults
def test_a_video_for_training_and_testing_is_refused(files: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="3 videos are in both"):
        built(DiDeMoMetaProcessor, files, split="train", val_path=files["train_path"])
