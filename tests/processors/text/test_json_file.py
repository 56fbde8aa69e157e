from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import DataError
from mmvt.processors.text.json_file import JSONTextProcessor

RAW = {
    "v1": {
        "start": [0, 2.5, 4, 6],
        "end": [3, 4, 7, 7.5],
        "text": ["a dog", "dog runs\non sand", None, "the cat"],
    },
    "v2": {"start": [], "end": [], "text": []},
}


def written(folder: Path, content: Any) -> Path:
    path = folder / "raw_caption.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_captions_are_cleaned_and_tokenised(tmp_path: Path, tiny_bert: str) -> None:
    texts = JSONTextProcessor(annotations=written(tmp_path, RAW), bert_name=tiny_bert)
    clips = texts("v1")
    # "dog" is in one of the two
    assert clips.cap in ([[5, 6], [7, 8, 9], [10, 11]], [[5], [6, 7, 8, 9], [10, 11]])
    assert clips.start.tolist() in ([0, 3, 6], [0, 2.5, 6])
    assert texts("v1").cap == clips.cap
    assert "v1" in texts
    assert "v3" not in texts


def test_captions_may_stay_as_they_are(tmp_path: Path, tiny_bert: str) -> None:
    path = written(tmp_path, RAW)
    clips = JSONTextProcessor(annotations=path, bert_name=tiny_bert, dedup=None)("v1")
    assert clips.cap == [[5, 6], [6, 7, 8, 9], [10, 11]]
    assert clips.start.tolist() == [0, 2.5, 6]
    assert clips.end.tolist() == [3, 4, 7.5]


def test_characters_are_compared_where_asked_for(tmp_path: Path, tiny_bert: str) -> None:
    video = {"start": [0, 1], "end": [1, 2], "text": ["the dog", "og runs"]}
    path = written(tmp_path, {"v": video})
    clips = JSONTextProcessor(annotations=path, bert_name=tiny_bert, dedup="characters")("v")
    assert clips.cap in ([[10, 6], [7]], [[10, 1], [1, 7]])


def test_a_video_without_words_has_no_captions(tmp_path: Path, tiny_bert: str) -> None:
    clips = JSONTextProcessor(annotations=written(tmp_path, RAW), bert_name=tiny_bert)("v2")
    assert (len(clips), len(clips.start), len(clips.end)) == (0, 0, 0)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, tiny_bert: str) -> None:
    path = written(tmp_path, "\ufeff" + json.dumps(RAW))
    assert "v1" in JSONTextProcessor(annotations=path, bert_name=tiny_bert)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "is no mapping from video ids to captions"),
        ('{"v": {}, "v": {}}', "'v' is there twice"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(
    tmp_path: Path, tiny_bert: str, content: str, message: str
) -> None:
    with pytest.raises(DataError, match=rf"raw_caption.json: {message}"):
        JSONTextProcessor(annotations=written(tmp_path, content), bert_name=tiny_bert)


@pytest.mark.faults
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, tiny_bert: str) -> None:
    with pytest.raises(DataError, match=r"gone.json: cannot be read: No such file"):
        JSONTextProcessor(annotations=tmp_path / "gone.json", bert_name=tiny_bert)
    path = tmp_path / "latin.json"
    path.write_bytes(b'{"v\xe9": {}}')
    with pytest.raises(DataError, match=r"latin.json:1: byte 4 is not UTF-8"):
        JSONTextProcessor(annotations=path, bert_name=tiny_bert)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("video", "message"),
    [
        (3, "has no lists start, end and text"),
        ({"start": [0], "end": [1]}, "has no lists start, end and text"),
        ({"start": [0], "end": [1, 2], "text": ["a"]}, "has 1 starts, 2 ends and 1 texts"),
        ({"start": [0], "end": ["1"], "text": ["a"]}, "caption 1 goes from 0 to '1', which are no"),
        ({"start": [True], "end": [1], "text": ["a"]}, "caption 1 goes from True to 1, which"),
        ({"start": [0], "end": [1], "text": [5]}, "caption 1 is no text: 5"),
        ({"start": [float("nan")], "end": [1], "text": ["a"]}, "caption 1 goes from nan to 1 s"),
        ({"start": [-1], "end": [1], "text": ["a"]}, "caption 1 goes from -1 to 1 s"),
        ({"start": [2], "end": [1], "text": ["a"]}, "caption 1 goes from 2 to 1 s"),
    ],
)
def test_captions_that_are_wrong_are_named(
    tmp_path: Path, tiny_bert: str, video: Any, message: str
) -> None:
    texts = JSONTextProcessor(annotations=written(tmp_path, {"v": video}), bert_name=tiny_bert)
    with pytest.raises(DataError, match=rf"raw_caption.json: video 'v': {message}"):
        texts("v")


def test_an_unknown_video_is_named(tmp_path: Path, tiny_bert: str) -> None:
    texts = JSONTextProcessor(annotations=written(tmp_path, RAW), bert_name=tiny_bert)
    with pytest.raises(DataError, match=r"has no captions of the video 'v9'"):
        texts("v9")
