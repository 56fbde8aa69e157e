"""Tests of COIN: videos with labelled parts."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.meta.coin import COINMetaProcessor, read_annotation
from mmvt.processors.text.coin import COINTextProcessor
from tests.standins import built, write_coin


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_coin(tmp_path_factory.mktemp("coin"), train=4, test=2)


def write(path: Path, videos: dict[str, tuple[str, list[tuple[Any, Any, Any]]]]) -> dict[str, str]:
    database = {
        name: {
            "subset": subset,
            "annotation": [
                {"id": label, "segment": segment, "label": text} for label, segment, text in parts
            ],
        }
        for name, (subset, parts) in videos.items()
    }
    path.write_text(json.dumps({"database": database}))
    return {"train_path": str(path), "val_path": str(path)}


def test_the_official_subsets_are_the_splits(files: dict[str, Any]) -> None:
    names = [f"coin_0{number}-x" for number in range(6)]
    found = {s: list(built(COINMetaProcessor, files, split=s)) for s in ("train", "valid", "test")}
    assert found["train"] == [(name, name) for name in names[:4]]
    assert found["valid"] == found["test"] == [(name, name) for name in names[4:]]


def test_a_video_has_its_parts_and_no_caption(files: dict[str, Any]) -> None:
    texts = built(COINTextProcessor, files)
    clips = texts("coin_02-x")
    assert len(clips) == 0
    assert clips.spans.label.tolist() == [3, 4, 1]
    assert clips.spans.start.tolist() == [2.5, 11.5, 20.5]
    assert clips.spans.end.tolist() == [7.75, 16.75, 25.75]
    assert texts.labels == ["cut the ball", "pour the box", "stir the cone", "bake the star"]
    assert [len(tokens) for tokens in texts.label_tokens()] == [3, 3, 3, 3]
    with pytest.raises(DataError, match=r"COIN.json: there is no text id 'gone'"):
        texts("gone")


@pytest.mark.faults
def test_labels_that_no_training_video_has_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = [("1", [0, 1], "a"), ("2", [1, 2], "b")]
    videos = {"v": ("training", parts[:1]), "w": ("testing", parts)}
    fields = write(tmp_path / "COIN.json", videos)
    for split in ("train", "test"):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            built(COINMetaProcessor, fields, split=split)
        assert "1 labels are tested but in no training video, such as 2" in caplog.text


@pytest.mark.faults
def test_all_that_is_wrong_is_told_by_video(tmp_path: Path) -> None:
    path = tmp_path / "COIN.json"
    write(
        path,
        {
            "a": ("train", [("1", [0, 1], "a")]),
            "b": ("testing", [("1", [3, 1], "b"), (0, [0, 1], "c"), ("x", [0, 1], "")]),
            "c": ("testing", [(4, [0, 1], "d")]),
        },
    )
    with pytest.raises(DataError) as raised:
        read_annotation(path)
    assert str(raised.value).replace(f"{path}: database: video ", "").splitlines() == [
        "'a': the subset 'train' is neither training nor testing",
        "'b': annotation 0: the label 1 is 'b', but 'a' before",
        "'b': annotation 1: the label 0 is not at least 1",
        "'b': annotation 2: id 'x' is no whole number",
        "'b': annotation 2: label is empty",
        "'b': annotation 2: the label 0 is not at least 1",
        "'b': annotation 0: segment [3, 1] is no time from start to end in seconds",
        f"{path}: no part has the label 2, 3",
    ]
    path.write_text("{}")
    with pytest.raises(DataError, match=r"COIN.json: no 'database'"):
        read_annotation(path)


@pytest.mark.faults
def test_files_that_do_not_fit_together_are_refused(files: dict[str, Any], tmp_path: Path) -> None:
    part = [("1", [0, 1], "a")]
    one = write(tmp_path / "one.json", {"v": ("training", part)})["train_path"]
    both = write(tmp_path / "two.json", {"v": ("testing", part)})["train_path"]
    with pytest.raises(DataError, match=r"1 videos are in both .*two.json \(valid\): v"):
        built(COINMetaProcessor, {"train_path": one, "val_path": both}, split="train")
    with pytest.raises(DataError, match=r"one.json: no video is of the subset 'testing'"):
        built(COINMetaProcessor, {"val_path": one}, split="test")
    with pytest.raises(ConfigError, match="the split 'train' needs train_path"):
        built(COINMetaProcessor, {"val_path": both}, split="train")
    with pytest.raises(DataError, match=r"one.json: its labels are others than those of"):
        built(COINTextProcessor, files, train_path=one)
