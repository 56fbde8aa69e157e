"""Tests of ActivityNet Captions: paragraphs and timed sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import DataError
from mmvt.processors.meta.activitynet import ActivityNetCaptionsMetaProcessor, read_described
from mmvt.processors.text.activitynet import ActivityNetCaptionsTextProcessor
from tests.standins import built, write_activitynet

VAL_1 = "data/annotations/PDVC__data_anet_captiondata_val_1.json"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_activitynet(tmp_path_factory.mktemp("anet"), train=2, val=1)


def examples(fields: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    return list(built(ActivityNetCaptionsMetaProcessor, fields, **more))


def test_two_people_describe_the_videos_of_validation(files: dict[str, Any]) -> None:
    assert examples(files, split="train") == [
        ("v_00000000000", "train:v_00000000000"),
        ("v_00000000001", "train:v_00000000001"),
    ]
    assert examples(files, split="valid") == [("v_00000000002", "val_1:v_00000000002")]
    assert examples(files, split="test") == [("v_00000000002", "val_2:v_00000000002")]
    assert examples(files, split="test", per="sentence")[2] == (
        "v_00000000002",
        "val_2:v_00000000002#3",
    )


def test_a_paragraph_is_of_the_whole_video_and_a_sentence_has_its_times(
    files: dict[str, Any],
) -> None:
    texts = built(ActivityNetCaptionsTextProcessor, files)
    sentences = [texts(f"val_1:v_00000000002#{number}") for number in (1, 2, 3)]
    assert [(s.start.tolist(), s.end.tolist()) for s in sentences] == [
        ([0.28], [9.5]),
        ([10.28], [19.5]),
        ([20.28], [29.5]),
    ]
    whole = texts("val_1:v_00000000002")
    assert whole.cap == [[token for sentence in sentences for token in sentence.cap[0]]]
    assert (whole.start.tolist(), whole.end.tolist()) == ([0], [float("inf")])
    with pytest.raises(DataError, match="there is no text id 'v_00000000002'"):
        texts("v_00000000002")


def test_dense_captions_are_all_sentences_in_time_order(
    files: dict[str, Any], tmp_path: Path
) -> None:
    assert examples(files, split="valid", per="dense") == [
        ("v_00000000002", "val_1:v_00000000002#all")
    ]
    clips = built(ActivityNetCaptionsTextProcessor, files)("val_1:v_00000000002#all")
    assert (clips.start.tolist(), clips.end.tolist()) == ([0.28, 10.28, 20.28], [9.5, 19.5, 29.5])
    (tmp_path / "own.json").write_text(
        json.dumps({"v_x": {"timestamps": [[5, 9], [0, 4]], "sentences": ["then", "first"]}})
    )
    fields = {**files, "val_path": str(tmp_path / "own.json")}
    clips = built(ActivityNetCaptionsTextProcessor, fields)("own:v_x#all")
    assert (clips.start.tolist(), clips.texts) == ([0.0, 5.0], ["first", "then"])


def test_the_real_file_has_4917_videos(shared: Path) -> None:
    fields = {"val_path": str(shared / VAL_1)}
    assert len(examples(fields, split="valid")) == 4917
    assert len(examples(fields, split="valid", per="sentence")) == 17505


@pytest.mark.faults
def test_all_that_is_wrong_is_told_by_video(tmp_path: Path) -> None:
    path = tmp_path / "val_1.json"
    bad = {
        "v_a": {"timestamps": [[0, 1]], "sentences": ["a", " "]},
        "v_b": {"timestamps": [[3, 1], [0, float("nan")]], "sentences": ["a", "b"]},
        "../c": {"timestamps": [], "sentences": []},
        "v_d": [],
    }
    path.write_text(json.dumps({key: bad[key] for key in ("v_a", "v_b", "v_d")}))
    with pytest.raises(DataError) as raised:
        read_described(path)
    assert str(raised.value).replace(f"{path}: video ", "").splitlines() == [
        "'v_a': sentences 2 is empty",
        "'v_a': 1 timestamps for 2 sentences",
        "'v_b': timestamps 1 [3, 1] is no time from start to end in seconds",
        "'v_b': timestamps 2 [0, nan] is no time from start to end in seconds",
        "'v_d': is no mapping of keys and values",
    ]
    path.write_text(json.dumps({"../c": bad["../c"]}))
    with pytest.raises(DataError, match=r"video '../c': the id '../c' leads out of its folder"):
        read_described(path)
    path.write_text("{}")
    with pytest.raises(DataError, match=r"val_1.json: holds no video"):
        read_described(path)


@pytest.mark.faults
def test_a_video_for_training_and_testing_is_refused(files: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"1 videos are in both .*val_1.json: v_00000000002"):
        examples(files, split="train", train_path=files["test_path"])
