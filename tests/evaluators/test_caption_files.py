from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import DataError
from mmvt.evaluators.caption_files import caption_predictions, read_captions
from mmvt.evaluators.metrics.captions import CaptionMetric

FOUND = [("7", "a dog"), ("7", "a wet dog"), ("8", "")]


def written(folder: Path, content: Any, name: str = "captions.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "content",
    [
        {"7": ["a dog", "a wet dog"], "8": ""},
        [{"id": 7, "caption": ["a dog", "a wet dog"]}, {"id": "8", "caption": ""}],
        [
            {"video_id": "7", "caption": "a dog"},
            {"video_id": "7", "caption": "a wet dog"},
            {"video_id": "8", "caption": ""},
        ],
        {
            "info": {},
            "images": [{"id": 7}, {"id": 8}],
            "annotations": [
                {"image_id": 7, "id": 1, "caption": "a dog"},
                {"image_id": 7, "id": 2, "caption": "a wet dog"},
                {"image_id": 8, "id": 3, "caption": ""},
            ],
        },
        {
            "videos": [{"video_id": "7"}],
            "sentences": [
                {"video_id": "7", "sen_id": 1, "caption": "a dog"},
                {"video_id": "7", "sen_id": 2, "caption": "a wet dog"},
                {"video_id": "8", "sen_id": 3, "caption": ""},
            ],
        },
    ],
)
def test_every_form_gives_the_same_captions(content: Any, tmp_path: Path):
    assert read_captions(written(tmp_path, content)) == FOUND
    if isinstance(content, list):
        lines = "".join(json.dumps(line) + "\n" for line in content)
        assert read_captions(written(tmp_path, lines, "captions.jsonl")) == FOUND


def test_timed_sentences_are_of_clips(tmp_path: Path):
    dense = {"v": {"duration": 9, "timestamps": [[0, 1.5], [2, 9]], "sentences": ["a", " b "]}}
    assert read_captions(written(tmp_path, dense)) == [("v@0-1.5", "a"), ("v@2-9", " b ")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "not valid JSON"),
        ("{}", "holds no caption"),
        ("[]", "holds no caption"),
        ("3", "is neither a list nor a mapping of captions"),
        ('{"7": "a", "7": "b"}', "'7' is there twice"),
        ({"7": 3}, "'7' is neither a text nor a list of texts"),
        ({"7": ["a", None]}, "'7' is neither a text nor a list of texts"),
        ([{"caption": "a"}], "caption 0: no 'id'"),
        ([{"id": 1.5, "caption": "a"}], r"caption 0: id 1\.5 is no text"),
        ([{"id": 7}], "caption 0: no 'caption'"),
        ([{"id": 7, "captoin": "a"}], "no 'caption'; did you mean 'captoin'"),
        (["a"], "caption 0: is no mapping"),
        ({"v": {"timestamps": [[0, 1]], "sentences": []}}, "'v': 1 timestamps for 0 sentences"),
        ({"v": {"timestamps": [[1, 0]], "sentences": ["a"]}}, "no time from start to end"),
    ],
)
def test_what_is_wrong_is_told(content: Any, problem: str, tmp_path: Path):
    with pytest.raises(DataError, match=problem):
        read_captions(written(tmp_path, content))


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path):
    path = tmp_path / "captions.jsonl"
    path.write_bytes(b'{"id": 1, "caption": "a"}\n{"id": 2, "caption": "\xff"}\n')
    with pytest.raises(DataError, match=r"captions\.jsonl:2: byte 23 is not UTF-8"):
        read_captions(path)


def test_odd_captions_keep_their_rows(tmp_path: Path):
    """A byte order mark, line breaks, tabs, signs, nothing at all, and 100,000 letters."""
    odd = {"a": "a\tdog\nruns", "b": "", "c": "\U0001f600", "d": "word " * 20_000, "e": "a cat"}
    path = written(tmp_path, "\ufeff" + json.dumps(odd))
    people = written(tmp_path, {name: ["a dog runs"] for name in odd}, "people.json")
    predictions = caption_predictions(path, people)
    assert predictions["hypotheses"].tolist() == list(odd.values())
    found = CaptionMetric()(predictions)
    assert found["protocol"]["clips"] == 5
    assert found["hypotheses_without_words"] == 2


def test_a_caption_that_memory_has_no_room_for_is_told_by_its_id(tmp_path: Path):
    many = {**{f"v{n}": "a" for n in range(3000)}, "long": "a" * 100_000}
    path = written(tmp_path, many)
    with pytest.raises(DataError, match="caption of 'long' has 100000 characters, more than fit"):
        caption_predictions(path, path)


def test_public_captions_score_highest_against_themselves(shared: Path, tmp_path: Path):
    people = shared / "data" / "annotations" / "PDVC__data_yc2_captiondata_yc2_val.json"
    references = read_captions(people)
    ours = written(tmp_path, dict(references))
    found = CaptionMetric()(caption_predictions(ours, people))
    assert found["protocol"]["clips"] == len(dict(references)) > 3000
    assert found["BLEU-4"] > 0.99
    assert found["ROUGE-L"] > 0.99
