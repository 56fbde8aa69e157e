from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.meta.how2 import How2MetaProcessor


@pytest.fixture
def lists(tmp_path: Path) -> dict[str, Path]:
    for name, ids in (("train", "a\nb\n\nc\n"), ("val", "d\n"), ("test", "\ufeffe\r\nf")):
        (tmp_path / f"{name}.lst").write_text(ids)
    return {f"{name}_path": tmp_path / f"{name}.lst" for name in ("train", "val", "test")}


def ids_of(meta: How2MetaProcessor) -> list[str]:
    assert all(meta[index][0] == meta[index][1] for index in range(len(meta)))
    return [meta[index][0] for index in range(len(meta))]


def test_every_split_reads_its_list(lists: dict[str, Path]) -> None:
    assert ids_of(How2MetaProcessor(split="train", **lists)) == ["a", "b", "c"]
    assert ids_of(How2MetaProcessor(split="valid", **lists)) == ["d"]
    assert ids_of(How2MetaProcessor(split="test", **lists)) == ["e", "f"]


def test_testing_reads_the_validation_list_without_its_own(lists: dict[str, Path]) -> None:
    del lists["test_path"]
    assert ids_of(How2MetaProcessor(split="test", **lists)) == ["d"]


def test_an_id_in_training_and_evaluation_is_refused(lists: dict[str, Path]) -> None:
    lists["val_path"].write_text("d\nc\n")
    for split in ("train", "valid"):
        with pytest.raises(DataError, match=r"1 videos are in both .*: c$"):
            How2MetaProcessor(split=split, **lists)


def test_repeated_ids_are_kept_and_counted(
    lists: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    lists["train_path"].write_text("a\nb\na\n")
    with caplog.at_level(logging.WARNING):
        assert ids_of(How2MetaProcessor(split="train", **lists)) == ["a", "b", "a"]
    assert "1 of its 3 ids repeat others" in caplog.text


def test_bad_lists_are_named(lists: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'train' needs train_path"):
        How2MetaProcessor(split="train", val_path=lists["val_path"])
    with pytest.raises(ConfigError, match="'test' needs val_path"):
        How2MetaProcessor(split="test")
    with pytest.raises(DataError, match=r"none\.lst: cannot be read"):
        How2MetaProcessor(split="valid", val_path=tmp_path / "none.lst")
    lists["val_path"].write_text("d\n../up\n/abs\n")
    with pytest.raises(DataError, match=r"(?s)val.lst:2: .*val.lst:3: "):
        How2MetaProcessor(split="valid", **lists)
    lists["val_path"].write_text("\n")
    with pytest.raises(DataError, match="no id in the list"):
        How2MetaProcessor(split="valid", **lists)


def test_the_reference_lists_are_read(shared: Path) -> None:
    folder = shared / "golden" / "shards"
    paths = {
        "train_path": folder / "how2_s3d_train.lst",
        "val_path": folder / "how2_s3d_val.lst",
    }
    assert [len(How2MetaProcessor(split=s, **paths)) for s in ("train", "valid", "test")] == [
        6,
        4,
        4,
    ]
