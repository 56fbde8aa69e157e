from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import DataError
from mmvt.evaluators.dense_files import dense_predictions
from mmvt_cli.score import main, score

PEOPLE = {
    "v_a": {
        "duration": 20.0,
        "timestamps": [[0, 10], [10, 20]],
        "sentences": ["a man rides a horse", "the horse drinks some water"],
    },
    "v_b": {"duration": 8, "timestamps": [[0, 8]], "sentences": ["two dogs play in the snow"]},
}


def submission_of(people: dict[str, Any]) -> dict[str, Any]:
    """Return references as a submission."""
    results = {
        name: [
            {"sentence": text, "timestamp": times}
            for text, times in zip(own["sentences"], own["timestamps"], strict=True)
        ]
        for name, own in people.items()
    }
    return {"version": "VERSION 1.0", "results": results, "external_data": {"used": False}}


def write(folder: Path, submission: Any, people: Any = PEOPLE) -> tuple[Path, Path]:
    ours, theirs = folder / "ours.json", folder / "val_1.json"
    ours.write_text(json.dumps(submission))
    theirs.write_text(json.dumps(people))
    return ours, theirs


def test_references_against_themselves_are_perfect_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    files = write(tmp_path, submission_of(PEOPLE))
    assert main(["dense", *map(str, files)]) == 0
    printed = capsys.readouterr().out
    assert "dense captions: 2 videos, 0 missing videos" in printed
    assert "mean     100.00  100.00" in printed
    assert printed.splitlines()[-2].split() == ["all", "100.00", "100.00", "100.00"]
    assert "no METEOR: metric.meteor_jar is not set" in printed


def test_a_video_may_have_no_caption_but_not_be_missing(tmp_path: Path):
    submission = submission_of(PEOPLE)
    submission["results"]["v_b"] = []
    files = write(tmp_path, submission)
    assert score("dense", *files)["recall"] == 0.5
    del submission["results"]["v_b"]
    files = write(tmp_path, submission)
    with pytest.raises(DataError, match="1 videos without a prediction: 'v_b'"):
        score("dense", *files)
    results = score("dense", *files, allow_missing=True)
    assert (results["recall"], results["protocol"]["missing_videos"]) == (0.5, 1)


def test_an_unexpected_video_is_refused(tmp_path: Path):
    submission = submission_of(PEOPLE)
    submission["results"]["v_c"] = []
    with pytest.raises(DataError, match="the split does not have: 'v_c'"):
        score("dense", *write(tmp_path, submission))


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path):
    wrong = [
        {"sentence": "x", "timestamp": [5, 2]},
        {"sentence": "x", "timestamp": [float("nan"), 2]},
        {"sentence": 7, "timestamp": [0, 1]},
        {"timestamp": [0, 1, 2]},
        "a man",
    ]
    files = write(tmp_path, {"results": {"v_a": wrong, "v_b": {}, "../x": []}})
    with pytest.raises(DataError) as caught:
        dense_predictions(*files)
    for message in (
        r"caption 1 of 'v_a': timestamp [5, 2] is no time from start to end",
        "caption 2 of 'v_a': timestamp [nan, 2] is no time",
        "caption 3 of 'v_a': sentence is no text",
        "caption 4 of 'v_a': no 'sentence'",
        "caption 4 of 'v_a': timestamp [0, 1, 2] is no time",
        "caption 5 of 'v_a': is no mapping",
        "v_b is no list",
        "leads out of its folder",
    ):
        assert message in str(caught.value)


def test_a_submission_without_results_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no 'results'"):
        dense_predictions(*write(tmp_path, {"v_a": []}))


def test_public_references_against_themselves_are_perfect(tmp_path: Path, shared: Path):
    path = shared / "data" / "annotations" / "PDVC__data_anet_captiondata_val_1.json"
    people = dict(list(json.loads(path.read_text()).items())[:300])
    found = score("dense", *write(tmp_path, submission_of(people), people))
    assert (found["precision"], found["recall"]) == (1.0, 1.0)
    assert found["SODA_c"] == pytest.approx(1.0, abs=1e-3)
