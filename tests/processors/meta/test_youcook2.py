"""Tests of YouCook2: clips for retrieval and timed sentences for captioning."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import ConfigError, DataError, StoreError
from mmvt.processors.meta.youcook2 import (
    YouCook2CaptionMetaProcessor,
    YouCook2MetaProcessor,
    read_annotation,
    read_rows,
)
from mmvt.processors.text.youcook2 import YouCook2CaptionTextProcessor, YouCook2TextProcessor
from tests.standins import built, write_youcook2

CSV = "data/annotations/MIL-NCE_HowTo100M__csv_validation_youcook.csv"
DENSE = "data/annotations/PDVC__data_yc2_captiondata_yc2_val.json"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_youcook2(tmp_path_factory.mktemp("youcook2"), train=2, val=2, clips=3)


def without(fields: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in keys}


def lists_of(files: dict[str, Any]) -> dict[str, Any]:
    lists = {"train_path": files["train_list"], "val_path": files["val_list"]}
    return without(files, "test_path") | lists


def test_a_clip_is_a_candidate_of_its_own(files: dict[str, Any]) -> None:
    pairs = list(built(YouCook2MetaProcessor, files, split="test"))
    assert pairs == list(built(YouCook2MetaProcessor, files, split="valid"))
    assert pairs[:2] == [("xyc_02_2abc@2-7",) * 2, ("xyc_02_2abc@9-14",) * 2]
    assert pairs[3] == ("-yc_03_3abc@2-7",) * 2
    train = [video for video, _ in built(YouCook2MetaProcessor, files, split="train")]
    assert train[0] == "-yc_00_0abc@2-7"
    assert len(train) == 6


def test_the_annotation_has_a_split_of_its_own(files: dict[str, Any]) -> None:
    fields = without(files, "train_path", "val_path", "test_path")
    for split in ("train", "valid"):
        assert list(built(YouCook2MetaProcessor, fields, split=split)) == list(
            built(YouCook2MetaProcessor, files, split=split)
        )


def test_a_caption_is_of_the_whole_video_and_has_its_times(files: dict[str, Any]) -> None:
    fields = lists_of(files)
    pairs = list(built(YouCook2CaptionMetaProcessor, fields, split="valid"))
    assert pairs[1] == ("xyc_02_2abc", "xyc_02_2abc@9-14")
    clips = built(YouCook2CaptionTextProcessor, fields)("xyc_02_2abc@9-14")
    assert (clips.start.tolist(), clips.end.tolist()) == ([9], [14])
    whole = built(YouCook2TextProcessor, files)("xyc_02_2abc@9-14")
    assert (whole.start.tolist(), whole.end.tolist()) == ([0], [float("inf")])
    assert whole.cap == clips.cap
    with pytest.raises(DataError, match=r"trainval.json, .*: there is no text id 'x'"):
        built(YouCook2TextProcessor, files)("x")


def test_several_sentences_of_a_clip_have_ids_of_their_own(
    files: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "val.csv"
    path.write_text("end,start,task,text,video_id\n5,2,1,a,v\n5,2,1,the,v\n9,5.5,1,a,v\n")
    fields = {"val_path": str(path), "bert_name": files["bert_name"]}
    pairs = list(built(YouCook2MetaProcessor, fields, split="valid"))
    assert pairs == [("v@2-5", "v@2-5"), ("v@2-5", "v@2-5#2"), ("v@5.5-9", "v@5.5-9")]
    texts = built(YouCook2TextProcessor, fields)
    assert texts("v@2-5").cap != texts("v@2-5#2").cap


@pytest.mark.parametrize(
    ("annotated", "text"), [(False, "ball"), (True, "cut the ball add a ball")]
)
def test_a_pickled_list_is_read_without_running_it(
    files: dict[str, Any], tmp_path: Path, annotated: bool, text: str
) -> None:
    path = tmp_path / "youcook_train.pkl"
    path.write_bytes(pickle.dumps([{"id": "-yc_00_0abc_0", "caption": "ball"}]))
    fields = {
        **without(files, "test_path"),
        "train_path": str(path),
        "use_annotation_text": annotated,
    }
    [(video, text_id)] = built(YouCook2MetaProcessor, fields, split="train")
    assert video == "-yc_00_0abc@2-7"
    texts = built(YouCook2TextProcessor, fields)
    assert texts.tokenizer.decode(texts(text_id).cap[0]) == text


def test_the_real_files_have_3350_pairs_and_3492_captions(
    shared: Path, files: dict[str, Any]
) -> None:
    meta = YouCook2MetaProcessor(split="test", val_path=shared / CSV)
    assert len(meta) == len({text for _, text in meta}) == 3350
    # one clip has two sentences
    assert len({video for video, _ in meta}) == 3349
    captions = YouCook2CaptionMetaProcessor(split="valid", val_path=shared / DENSE)
    assert len(captions) == 3492
    assert len({video for video, _ in captions}) == 457
    assert {video for video, _ in captions} >= {video.partition("@")[0] for video, _ in meta}
    texts = YouCook2TextProcessor(bert_name=files["bert_name"], val_path=shared / CSV)
    assert len(texts("xHr8X2Wpmno@47-60")) == 1


@pytest.mark.faults
def test_a_pickled_list_that_is_wrong_is_told_by_numbers(
    files: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "youcook_val.pkl"
    fields = {**without(files, "test_path"), "val_path": str(path)}
    clips = [{"id": "xyc_02_2abc_3", "caption": "a"}, {"id": "gone_0"}, {"id": "xyc_02_2abc_0"}]
    path.write_bytes(pickle.dumps(clips))
    with pytest.raises(DataError) as raised:
        built(YouCook2MetaProcessor, fields, split="valid")
    assert str(raised.value).replace(str(path), "FILE").splitlines() == [
        "FILE: clip 0: the annotation has no clip 'xyc_02_2abc_3'",
        "FILE: clip 1: the annotation has no clip 'gone_0'",
        "FILE: clip 2: no 'caption'",
    ]
    path.write_bytes(pickle.dumps(Path("x")))
    with pytest.raises(StoreError, match="unsafe pickle, not read"):
        built(YouCook2MetaProcessor, fields, split="valid")
    with pytest.raises(ConfigError, match="trainval_annotation is missing"):
        built(YouCook2MetaProcessor, without(fields, "trainval_annotation"), split="valid")


@pytest.mark.faults
def test_a_file_of_no_known_form_or_none_at_all_is_refused(files: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"features is none of .csv, .json, .pkl, .txt"):
        built(YouCook2MetaProcessor, files, split="train", train_path=files["store"])
    with pytest.raises(ConfigError, match="the split 'train' needs train_path"):
        YouCook2MetaProcessor(split="train")
    with pytest.raises(ConfigError, match="one of train_path, val_path and test_path"):
        YouCook2TextProcessor(bert_name=files["bert_name"])


@pytest.mark.faults
def test_rows_that_are_wrong_are_told_by_lines(tmp_path: Path) -> None:
    path = tmp_path / "val.csv"
    path.write_text("end,start,task,text,video_id\n2,5,1,a,v\nx,5,1,,v\n")
    with pytest.raises(DataError) as raised:
        read_rows(path)
    assert str(raised.value).replace(str(path), "FILE").splitlines() == [
        "FILE:2: the clip ['5', '2'] is no time from start to end in seconds",
        "FILE:3: the clip ['5', 'x'] is no time from start to end in seconds",
        "FILE:3: text is empty",
    ]
    path.write_text("end,start,task,text,video_id\n")
    with pytest.raises(DataError, match=r"val.csv: holds no clip"):
        read_rows(path)


@pytest.mark.faults
def test_an_annotation_or_a_list_that_is_wrong_is_told_by_video(
    files: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "trainval.json"
    bad = {"subset": "training", "annotations": [{"segment": [5, 1], "sentence": "a"}, 3]}
    path.write_text(json.dumps({"database": {"v": bad, "w": {"annotations": {}}}}))
    with pytest.raises(DataError) as raised:
        read_annotation(path)
    assert str(raised.value).replace(f"{path}: database: video ", "").splitlines() == [
        "'v': annotation 1: is no mapping of keys and values",
        "'v': annotation 0: segment [5, 1] is no time from start to end in seconds",
        "'w': no 'subset'",
        "'w': annotations is no list",
    ]
    path = tmp_path / "train_list.txt"
    path.write_text("101/-yc_00_0abc\n\n101/gone\n")
    with pytest.raises(DataError, match=r"train_list.txt:3: the annotation has no video 'gone'"):
        built(YouCook2CaptionMetaProcessor, lists_of(files), split="train", train_path=str(path))


@pytest.mark.faults
def test_a_video_for_training_and_testing_is_refused(files: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"2 videos are in both .* \(train\): -yc_03_3abc, xyc"):
        built(YouCook2MetaProcessor, files, split="valid", train_path=files["val_path"])
