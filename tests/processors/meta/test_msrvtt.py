"""Tests of MSR-VTT: its lists, captions and questions, and their texts."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.meta.msrvtt import (
    MSRVTTChoiceMetaProcessor,
    MSRVTTMetaProcessor,
    read_choices,
)
from mmvt.processors.text.msrvtt import MSRVTTChoiceTextProcessor, MSRVTTTextProcessor
from tests.standins import built, write_msrvtt

TEST_1K_A = "data/annotations/MIL-NCE_HowTo100M__csv_msrvtt_test.csv"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_msrvtt(tmp_path_factory.mktemp("msrvtt"), train=6, test=6, captions=3)


@pytest.fixture
def own(tmp_path: Path) -> dict[str, Any]:
    return write_msrvtt(tmp_path, train=2, test=6, captions=2)


def examples(fields: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    return list(built(MSRVTTMetaProcessor, fields, **more))


def words(texts: MSRVTTTextProcessor, text_id: str) -> list[str]:
    return [texts.tokenizer.decode(cap) for cap in texts(text_id).cap]


def test_training_has_every_video_as_often_as_asked(files: dict[str, Any]) -> None:
    once = [(f"video{number}", f"video{number}") for number in range(6)]
    assert examples(files, split="train") == once
    assert examples(files, split="train", dup=20) == once * 20


def test_the_1k_a_test_has_one_caption_a_video(files: dict[str, Any]) -> None:
    pairs = [(f"video{number + 6}", f"ret{number}") for number in range(6)]
    assert examples(files, split="valid") == examples(files, split="test") == pairs


def test_the_official_split_has_every_caption(files: dict[str, Any]) -> None:
    official = {key: files[key] for key in ("json_path",)}
    assert len(examples(official, split="train")) == 6
    assert [video for video, _ in examples(official, split="valid")[::3]] == [
        "video6",
        "video8",
        "video10",
    ]
    assert examples(official, split="test")[:4] == [
        ("video7", "video7#1"),
        ("video7", "video7#2"),
        ("video7", "video7#3"),
        ("video9", "video9#1"),
    ]


def test_the_9k_list_is_the_7k_list_and_what_1k_a_leaves_of_the_test(
    files: dict[str, Any], tmp_path: Path
) -> None:
    full, tested = tmp_path / "full.csv", tmp_path / "tested.csv"
    full.write_text("video_id\n" + "".join(f"video{number}\n" for number in range(6, 12)))
    tested.write_text("key,vid_key,video_id,sentence\nret0,msr7,video7,a ball\n")
    lists = {"full_test_path": str(full), "jsfusion_path": str(tested), "val_path": str(tested)}
    fields = {k: files[k] for k in ("train_path", "json_path")} | lists
    videos = [video for video, _ in examples(fields, split="train")]
    assert videos == [f"video{number}" for number in (*range(7), *range(8, 12))]
    with pytest.raises(ConfigError, match="full_test_path and jsfusion_path go together"):
        examples(fields | {"jsfusion_path": None}, split="train")
    # a list without sentences is asked for each caption of the JSON
    fields |= {"val_path": str(full)}
    assert len(examples(fields | {"train_path": None}, split="valid")) == 18


def test_texts_are_all_captions_one_of_them_or_the_sentence_of_a_pair(
    files: dict[str, Any],
) -> None:
    texts = built(MSRVTTTextProcessor, files)
    assert words(texts, "video0") == [
        "cut the ball add a ball",
        "the cut the ball add a ball",
        "the the cut the ball add a ball",
    ]
    assert words(texts, "video0#2") == ["the cut the ball add a ball"]
    assert words(texts, "ret1") == ["cut the lamp add a lamp"]
    with pytest.raises(DataError, match=r"MSRVTT_data.json.*: there is no text id 'video0#4'"):
        texts("video0#4")
    with pytest.raises(ConfigError, match="one of json_path, val_path and test_path"):
        MSRVTTTextProcessor(bert_name=files["bert_name"])


def test_a_choice_has_five_sentences_of_which_one_is_right(files: dict[str, Any]) -> None:
    fields = {"test_path": files["choice_path"], "bert_name": files["bert_name"]}
    meta = built(MSRVTTChoiceMetaProcessor, fields, split="test")
    assert meta[1] == ("video7", "MSR_MC_test#1")
    clips = built(MSRVTTChoiceTextProcessor, fields)("MSR_MC_test#1")
    right = built(MSRVTTTextProcessor, files)("ret1").cap[0]
    assert len(clips) == 5
    assert [cap == right for cap in clips.cap] == [False, True, False, False, False]
    assert clips.answer == 1


def test_the_real_list_has_1000_pairs(
    files: dict[str, Any], shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        pairs = list(MSRVTTMetaProcessor(split="test", test_path=shared / TEST_1K_A))
    assert len({video for video, _ in pairs}) == len({text for _, text in pairs}) == 1000
    assert "4 captions belong to more than one video" in caplog.text
    texts = MSRVTTTextProcessor(bert_name=files["bert_name"], test_path=shared / TEST_1K_A)
    assert len([texts(text_id) for _, text_id in pairs]) == 1000


@pytest.mark.faults
def test_a_test_video_in_the_training_list_is_refused(own: dict[str, Any]) -> None:
    Path(own["train_path"]).write_text("video_id\nvideo0\nvideo3\n")
    for split in ("train", "test"):
        with pytest.raises(DataError, match="1 videos are in both the split .*: video3"):
            examples(own, split=split)


@pytest.mark.faults
def test_videos_without_captions_are_named(own: dict[str, Any]) -> None:
    Path(own["train_path"]).write_text("video_id\nvideo0\nvideo99\n")
    with pytest.raises(DataError, match=r"json: no caption of 1 videos: video99"):
        examples(own, split="train")
    with pytest.raises(ConfigError, match="json_path is missing"):
        examples(own | {"json_path": None}, split="train")
    with pytest.raises(ConfigError, match="the split 'valid' needs val_path"):
        examples({"train_path": own["train_path"]}, split="valid")
    with pytest.raises(ConfigError, match="dup is 0"):
        examples(own, split="train", dup=0)


@pytest.mark.faults
def test_a_split_that_is_empty_is_refused(own: dict[str, Any]) -> None:
    path = Path(own["json_path"])
    content = json.loads(path.read_text())
    content["videos"] = content["videos"][:1]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"MSRVTT_data.json: no video is of the split 'validate'"):
        examples({"json_path": own["json_path"]}, split="valid")


@pytest.mark.faults
def test_all_that_is_wrong_with_a_list_is_told_by_lines(own: dict[str, Any]) -> None:
    path = Path(own["test_path"])
    path.write_text(
        "key,vid_key,video_id,sentence\nret0,m,video2,a\nret0,m,video3,b\nret2,m,video4, \n,m,,x\n"
    )
    with pytest.raises(DataError) as raised:
        examples(own, split="test")
    assert str(raised.value).replace(str(path), "FILE").splitlines() == [
        "FILE:4: sentence is empty",
        "FILE:5: video_id is empty",
        "FILE:5: key is empty",
        "FILE:3: the same key 'ret0' as FILE:2",
    ]
    path.write_text("vid\nvideo0\n")
    with pytest.raises(DataError, match=r"csv:1: no column 'video_id'; found vid$"):
        examples(own, split="test")
    path.write_text("video_id\n")
    with pytest.raises(DataError, match=r"csv: holds no video$"):
        examples(own, split="test")


@pytest.mark.faults
def test_all_that_is_wrong_with_the_captions_is_told_by_numbers(own: dict[str, Any]) -> None:
    path = Path(own["json_path"])
    path.write_text(
        json.dumps(
            {
                "videos": [{"video_id": "video0"}, 3],
                "sentences": [
                    {"caption": 5, "video_id": "video0"},
                    {"caption": "a", "video_id": None},
                ],
            }
        )
    )
    with pytest.raises(DataError) as raised:
        examples(own, split="train")
    assert str(raised.value).replace(str(path), "FILE").splitlines() == [
        "FILE: video 0: no 'split'",
        "FILE: video 1: is no mapping of keys and values",
        "FILE: sentence 0: caption is no text",
        "FILE: sentence 1: no 'video_id'",
    ]


@pytest.mark.faults
def test_all_that_is_wrong_with_questions_is_told_by_lines(tmp_path: Path) -> None:
    path = tmp_path / "mc.csv"
    path.write_text(
        "vid_key\ta1\ta2\ta3\ta4\ta5\tanswer\n"
        "msr1\ta\tb\tc\td\te\t5\nmsr2\ta\tb\t\td\te\t0\nmsr3\ta\tb\tc\td\te\tfirst\n"
    )
    with pytest.raises(DataError) as raised:
        read_choices(path)
    assert str(raised.value).replace(str(path), "FILE").splitlines() == [
        "FILE:2: answer 5 is not one of 0 to 4",
        "FILE:3: a3 is empty",
        "FILE:4: answer 'first' is no whole number",
    ]
    path.write_text("vid_key\ta1\ta2\ta3\ta4\ta5\tanswer\n")
    with pytest.raises(DataError, match=r"mc.csv: holds no question"):
        read_choices(path)
