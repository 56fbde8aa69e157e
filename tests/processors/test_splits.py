from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.splits import SplitPaths, refuse_leak, warn_of_shared


def test_testing_reads_the_file_of_validation_unless_it_has_its_own() -> None:
    train, val, test = Path("train"), Path("val"), Path("test")
    both = SplitPaths(train, val, None)
    assert [both.of(split) for split in ("train", "valid", "test")] == [train, val, val]
    assert both.apart_from("train") == {"valid": val, "test": val}
    assert both.apart_from("valid") == {"train": train}
    assert SplitPaths(None, val, test).of("test") == test
    assert SplitPaths(train, val, val).every() == [train, val]


@pytest.mark.parametrize(
    ("split", "key"),
    [("train", "train_path"), ("valid", "val_path"), ("test", "val_path or test_path")],
)
def test_a_split_without_a_file_names_the_key(split: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"the split '{split}' needs {key}"):
        SplitPaths(None, None, None).of(split)
    with pytest.raises(ConfigError, match="one of train_path, val_path and test_path is needed"):
        SplitPaths(None, None, None).every()


@pytest.mark.faults
def test_a_video_for_training_and_for_testing_is_refused() -> None:
    refuse_leak("a", ["x", "y"], "b", ["z"])
    with pytest.raises(DataError, match="2 videos are in both a and b: x, y$"):
        refuse_leak("a", ["y", "x", "y", "w"], "b", ["x", "y", "z"])
    with pytest.raises(DataError, match="12 videos are in both a and b: 0, 1, 10, .*, [.]{3}$"):
        refuse_leak("a", map(str, range(12)), "b", map(str, range(12)))


@pytest.mark.faults
def test_captions_of_several_videos_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_shared("FILE", [("a", "dog"), ("a", "dog"), ("b", "cat")])
        assert caplog.messages == []
        warn_of_shared("FILE", [("a", "dog"), ("b", "dog"), ("b", "cat")])
    assert caplog.messages == ["FILE: 1 captions belong to more than one video, such as 'dog'"]
