"""Tests of QVHighlights: queries and the windows that fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import DataError
from mmvt.processors.meta.qvhighlights import QVHighlightsMetaProcessor, read_queries
from mmvt.processors.text.qvhighlights import QVHighlightsTextProcessor
from tests.standins import built, write_qvhighlights

VAL = "data/annotations/moment_detr__data_highlight_val_release.jsonl"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_qvhighlights(tmp_path_factory.mktemp("qvh"), train=2, val=1)


def test_a_query_goes_with_its_clip_of_a_video(files: dict[str, Any]) -> None:
    meta = built(QVHighlightsMetaProcessor, files, split="train")
    assert list(meta) == [
        ("NUsG9BgSe00_210.0_360.0", "2579"),
        ("NUsG9BgSe01_210.0_360.0", "2580"),
    ]
    clips = built(QVHighlightsTextProcessor, files)("2580")
    assert clips.windows.tolist() == [[12, 20]]
    assert clips.clip_ids.tolist() == [6, 7, 8, 9]
    assert clips.saliency.tolist() == [[4, 3, 2]] * 4
    assert (clips.duration, len(clips)) == (150.0, 1)


def test_labels_may_be_held_back(files: dict[str, Any]) -> None:
    [(_, text_id)] = built(QVHighlightsMetaProcessor, files, split="test")
    clips = built(QVHighlightsTextProcessor, files)(text_id)
    assert clips.windows.shape == (0, 2)
    assert (len(clips.clip_ids), len(clips.saliency)) == (0, 0)
    with pytest.raises(DataError, match="there is no text id '1'"):
        built(QVHighlightsTextProcessor, files)("1")


def test_the_real_file_has_1550_queries(shared: Path) -> None:
    queries = read_queries(shared / VAL)
    assert len(queries) == 1550
    assert sum(len(query.saliency) for query in queries) == 32549
    assert any(query.video_id.startswith("-") for query in queries)
    assert len(QVHighlightsMetaProcessor(split="valid", val_path=shared / VAL)) == 1550


@pytest.mark.faults
def test_all_that_is_wrong_is_told_by_lines(tmp_path: Path) -> None:
    good = {
        "qid": 1,
        "query": "a",
        "duration": 150,
        "vid": "v",
        "relevant_windows": [[0, 150]],
        "relevant_clip_ids": [0, 1],
        "saliency_scores": [[0, 4, 2], [1, 1, 1]],
    }
    bad = [
        good | {"qid": 2, "relevant_windows": [[0, 151]], "query": ""},
        good | {"qid": "x", "relevant_clip_ids": [0.5, 1]},
        good | {"qid": 4, "saliency_scores": [[0, 5, 2]]},
        {key: value for key, value in good.items() if key != "relevant_windows"},
    ]
    path = tmp_path / "val.jsonl"
    path.write_text("\n".join(map(json.dumps, [good, *bad])))
    with pytest.raises(DataError) as raised:
        read_queries(path)
    assert str(raised.value).replace(str(path), "FILE").splitlines() == [
        "FILE:2: query is empty",
        "FILE:2: a relevant window ends after the 150 s of the video",
        "FILE:3: qid 'x' is no whole number",
        "FILE:3: relevant_clip_ids hold more than whole numbers of at least 0",
        "FILE:4: 1 saliency_scores for 2 clips",
        "FILE:4: saliency_scores hold more than equally long lists of 0 to 4",
        "FILE:5: no 'relevant_windows'",
        "FILE:5: the same qid '1' as FILE:1",
    ]
    path.write_text("\n")
    with pytest.raises(DataError, match=r"val.jsonl: holds no query"):
        read_queries(path)


@pytest.mark.faults
def test_a_video_for_training_and_testing_is_refused(files: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="2 videos are in both"):
        built(QVHighlightsMetaProcessor, files, split="valid", val_path=files["train_path"])
