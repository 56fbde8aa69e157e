"""Tests of CrossTask: tasks, their videos, and where steps are done."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.processors.meta.crosstask import (
    CrossTaskMetaProcessor,
    read_spans,
    read_tasks,
    read_videos,
    split_videos,
)
from mmvt.processors.text.crosstask import CrossTaskTextProcessor
from tests.standins import built, write_crosstask


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    return write_crosstask(tmp_path, videos=5, n_train=2)


def examples(fields: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    return list(built(CrossTaskMetaProcessor, fields, **more))


def test_primary_tasks_are_tested_and_related_ones_train(files: dict[str, Any]) -> None:
    train, test = examples(files, split="train"), examples(files, split="test")
    assert test == examples(files, split="valid")
    tasks = [[text.partition("_")[0] for _, text in split] for split in (train, test)]
    assert tasks == [["23521"] * 2 + ["59684"] * 2 + ["94276"] * 4, ["23521"] * 2 + ["59684"] * 2]
    videos = [{video for video, _ in split} for split in (train, test)]
    assert not videos[0] & videos[1]
    # the first of each task is kept out
    assert not {"v23521_0", "v59684_0", "v94276_0"} & (videos[0] | videos[1])
    assert all(text.endswith(f"_{video}") for video, text in train)
    without = {key: value for key, value in files.items() if key != "related_path"}
    assert len(examples(without, split="train")) == 4


def test_the_choice_of_training_videos_is_that_of_numpys_old_generator() -> None:
    videos = {"1": list("abcdef"), "2": list("gh"), "3": list("ijklmn")}
    train, test = split_videos(videos, ["1", "2"], 2, 0)
    # np.random.seed(0); np.random.choice(list("abcdef"), 2, replace=False)
    assert train == {"1": ["f", "c"], "2": ["g", "h"], "3": list("ijklmn")}
    assert test == {"1": ["a", "b", "d", "e"]}
    before = np.random.get_state()[1].tolist()  # type: ignore[union-attr]
    split_videos(videos, ["1", "3"], 2, 5)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[union-attr]


def test_texts_are_the_steps_of_the_task_with_their_times(files: dict[str, Any]) -> None:
    clips = built(CrossTaskTextProcessor, files)("59684_v59684_3")
    assert (clips.task, len(clips)) == ("59684", 2)
    assert clips.spans.label.tolist() == [0, 1]
    assert clips.spans.start.tolist() == [3.5, 12.5]
    assert clips.spans.end.tolist() == [7.25, 16.25]
    for unknown in ("1_v", "59684_gone", "59684_/../x"):
        with pytest.raises(DataError, match="there is no text id|cannot be read"):
            built(CrossTaskTextProcessor, files)(unknown)


def test_related_videos_without_annotation_are_counted(
    files: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    Path(files["annotation_path"], "94276_v94276_1.csv").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(examples(files, split="train")) == 7
    assert "1 videos of related tasks have no annotation" in caplog.text


@pytest.mark.faults
def test_primary_videos_without_annotation_are_named(files: dict[str, Any]) -> None:
    Path(files["annotation_path"], "23521_v23521_1.csv").unlink()
    with pytest.raises(DataError, match="1 videos have no annotation: 23521_v23521_1"):
        examples(files, split="train")


@pytest.mark.faults
def test_a_video_of_two_tasks_on_both_sides_is_reported(
    files: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tested = examples(files, split="test")[0][0]
    Path(files["annotation_path"], f"94276_{tested}.csv").write_text("1,0,1\n")
    with Path(files["train_csv_path"]).open("a") as file:
        file.write(f"94276,{tested},https://www.youtube.com/watch?v={tested}\n")
    with caplog.at_level(logging.WARNING):
        examples(files, split="test")
    assert "1 videos are of two tasks, for training in one and for testing in" in caplog.text


@pytest.mark.faults
def test_tasks_without_videos_to_test_are_refused(files: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"videos.csv: no task has more than 4 videos to test"):
        examples(files, split="test", n_train=4)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1\nt\nu\n3\na,b\n\n", ":1: task 1: 3 steps, but the list has 2"),
        ("1\nt\nu\n2\na, \n\n", ":1: task 1: 2 steps, but the list has 2"),
        ("1\nt\nu\n1\na\n\n1\nt\nu\n1\na\n", ":7: the task '1' is there twice"),
        ("\nt\nu\n1\na\n\n", ":1: the task '' is empty"),
        ("1\nt\nu\n1\na\nb\n", ":1: task 1: no blank line after its five lines"),
        ("1\nt\n", ": holds no task of five lines and a blank one"),
    ],
)
def test_a_list_of_tasks_that_is_wrong_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "tasks.txt"
    path.write_text(text)
    with pytest.raises(DataError) as raised:
        read_tasks(path)
    assert str(raised.value) == f"{path}{problem}"


def test_the_last_task_may_do_without_a_blank_line(tmp_path: Path) -> None:
    path = tmp_path / "tasks.txt"
    path.write_text("1\nt\nu\n2\na b,c\n\n2\nt\nu\n1\nd")
    assert read_tasks(path) == {"1": ["a b", "c"], "2": ["d"]}


@pytest.mark.faults
def test_a_list_of_videos_that_is_wrong_is_told_by_lines(tmp_path: Path) -> None:
    path = tmp_path / "videos.csv"
    path.write_text("1,a,u\n1,a\n1,,u\n1,../x,u\n1,a,v\n")
    with pytest.raises(DataError) as raised:
        read_videos(path)
    assert str(raised.value).replace(str(path), "FILE").splitlines() == [
        "FILE:2: 2 cells, but task, video and url are 3",
        "FILE:3: video is empty",
        "FILE:4: the id '../x' leads out of its folder",
        "FILE:5: the same video '1_a' as FILE:1",
    ]
    path.write_text("\n")
    with pytest.raises(DataError, match=r"videos.csv: holds no video"):
        read_videos(path)


@pytest.mark.faults
def test_steps_that_are_wrong_are_told_by_lines(tmp_path: Path) -> None:
    path = tmp_path / "1_v.csv"
    path.write_text("1,0.5,1\n3,0,1\n0,1,2\nx,1,2\n1,2,1\n1,2\n2,nan,3\n")
    with pytest.raises(DataError) as raised:
        read_spans(path, 2)
    problems = str(raised.value).replace(str(path), "FILE").splitlines()
    assert problems == [
        "FILE:2: step 3 is not one of 1 to 2",
        "FILE:3: step 0 is not one of 1 to 2",
        "FILE:4: step 'x' is no whole number",
        "FILE:4: step 0 is not one of 1 to 2",
        "FILE:5: the step ['2', '1'] is no time from start to end in seconds",
        "FILE:6: 2 cells, but step, start and end are 3",
        "FILE:7: the step ['nan', '3'] is no time from start to end in seconds",
    ]
    path.write_text("")
    assert len(read_spans(path, 2).label) == 0
