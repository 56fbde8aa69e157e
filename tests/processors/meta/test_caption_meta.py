from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.meta.captions import CaptionMetaProcessor, split_of

SPLITS = ("train", "valid", "test")


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    path = tmp_path / "captions.csv"
    rows = [f"v{i}.mp4,caption {k} of {i},{k},{k + 1}" for i in range(200) for k in range(2)]
    path.write_text("\n".join(["video,caption,start,end", *rows]) + "\n")
    return path


def examples(meta: CaptionMetaProcessor) -> list[tuple[str, str]]:
    return [meta[index] for index in range(len(meta))]


def test_every_video_is_in_one_split_with_all_its_captions(annotations: Path) -> None:
    found = {
        split: examples(CaptionMetaProcessor(split=split, annotations=annotations, per="caption"))
        for split in SPLITS
    }
    videos = {split: {video for video, _ in pairs} for split, pairs in found.items()}
    assert sum(len(ids) for ids in videos.values()) == len(set().union(*videos.values())) == 200
    assert all(len(pairs) == 2 * len(videos[split]) for split, pairs in found.items())
    assert 10 <= len(videos["valid"]) <= 30
    assert 10 <= len(videos["test"]) <= 30


def test_the_split_of_a_video_depends_on_its_id_alone() -> None:
    # the first 8 bytes of the sha256 of d, f and c are 0.096, 0.145 and 0.182 of 2^64
    assert [split_of(video, 0.1, 0.1) for video in "dfca"] == ["test", "valid", "valid", "train"]
    assert [split_of(video, 0.05, 0.1) for video in "dfca"] == ["test", "valid", "train", "train"]
    assert [split_of(video, 0.1, 0.0) for video in "dfca"] == ["valid", "train", "train", "train"]


def test_an_example_is_a_video_in_training_and_a_caption_in_evaluation(tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_text(
        "video,caption,start,end,split\n"
        "a,later,5,6,train\na,first,0,5,train\nb,one,0,1,test\nb,two,1,2,test\n"
    )
    assert examples(CaptionMetaProcessor(split="train", annotations=path)) == [("a", "a")]
    assert examples(CaptionMetaProcessor(split="train", annotations=path, per="caption")) == [
        ("a", "a#1"),
        ("a", "a#2"),
    ]
    assert examples(CaptionMetaProcessor(split="test", annotations=path)) == [
        ("b", "b#1"),
        ("b", "b#2"),
    ]
    assert examples(CaptionMetaProcessor(split="test", annotations=path, per="video")) == [
        ("b", "b")
    ]
    with pytest.raises(DataError, match="none of its 2 videos is in the split 'valid'"):
        CaptionMetaProcessor(split="valid", annotations=path)


def test_captions_of_more_than_one_video_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "captions.csv"
    path.write_text("video,caption,split\na,a dog,train\nb,a dog,train\nb,a cat,train\n")
    with caplog.at_level(logging.WARNING):
        CaptionMetaProcessor(split="train", annotations=path)
    assert "1 captions belong to more than one video, such as 'a dog'" in caplog.text


@pytest.mark.parametrize(("valid", "test"), [(-0.1, 0.1), (0.5, 0.5), (0.0, 1.0)])
def test_shares_that_leave_nothing_for_training_are_refused(
    annotations: Path, valid: float, test: float
) -> None:
    with pytest.raises(ConfigError, match="leave no share"):
        CaptionMetaProcessor(
            split="train", annotations=annotations, valid_fraction=valid, test_fraction=test
        )
