from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.datasets.original_shards import OriginalStore, OriginalTexts, VideoOrder
from mmvt.datasets.store import FeatureStore
from mmvt.datasets.text_shards import (
    Captions,
    NoCaptions,
    TextReport,
    write_text_shard,
    write_text_shards,
)
from mmvt.errors import DataError, StoreError
from mmvt.features.shard import StoreWriter
from mmvt.processors.base import TextClips
from mmvt.processors.text.dedup import TimedText
from mmvt.processors.text.shards import StoreTextProcessor

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("startends_starts", "startends_data", "caps_ids_starts", "caps_ids_data")

CAPTIONS = {
    "a": TextClips(np.array([0.0, 1.5]), np.array([1.5, 4.25]), [[7], [8, 9, 10]]),
    "b": TextClips(np.array([]), np.array([]), []),
    "c": TextClips(np.array([0.5]), np.array([2.0]), [[]]),
}


@pytest.fixture
def store(tmp_path: Path) -> OriginalStore:
    (tmp_path / "val_meta.pkl").write_bytes(pickle.dumps({0: ["a", "b"], 3: ["c"]}))
    return OriginalStore(tmp_path, "val")


def listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


SAID = {
    "a": [TimedText(0.0, 1.5, "xxxxxxx"), TimedText(1.5, 4.25, "yy z")],
    "b": [],
    "c": [TimedText(0.5, 2.0, "")],
}


def said(video: str) -> list[TimedText]:
    if video not in SAID:
        raise DataError(f"nothing was said in {video}")
    return SAID[video]


def lengths(texts: list[str]) -> list[list[int]]:
    """Return the length of each word of each text, which stands for its id."""
    return [[len(word) for word in text.split()] for text in texts]


def write(
    prefix: str,
    store: VideoOrder,
    captions: Captions = said,
    made_by: Mapping[str, str] = {"tokenizer": "T"},
    **options: Any,
) -> TextReport:
    return write_text_shards(prefix, store, captions, lengths, made_by=made_by, **options)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def store_of(folder: Path, *ids: str, size: int = 2) -> FeatureStore:
    with StoreWriter(folder, dim=1, fps=1.0, encoder={}, shard_size=size) as writer:
        for video_id in ids:
            writer.add(video_id, np.ones((1, 1), np.float32))
    return FeatureStore.open(folder)


def test_what_is_written_is_read_back(tmp_path: Path, store: OriginalStore) -> None:
    seen: list[int] = []
    report = write(f"{tmp_path}/text.", store, max_words=3, on_videos=seen.append)
    assert report == TextReport(written=3, skipped=0, failures=[])
    assert seen == [2, 1]
    texts = OriginalTexts(f"{tmp_path}/text.", store)
    assert [texts[video].cap for video in "abc"] == [[[7], [2, 1]], [], [[]]]
    assert texts["a"].start.tolist() == [0, 1.5]
    assert texts["a"].end.tolist() == [1.5, 4.25]


def test_shards_follow_those_of_a_feature_store(tmp_path: Path) -> None:
    store = store_of(tmp_path / "s", "c", "a", "b")
    write(f"{tmp_path}/t/", store)
    assert listing(tmp_path / "t") == {
        *(f"{n}.{part}.npy" for n in ("00000", "00001") for part in PARTS),
        "texts.json",
        "texts_failures.jsonl",
        ".texts.lock",
    }
    texts = StoreTextProcessor(store=tmp_path / "s", tfeat_dir=f"{tmp_path}/t/")
    assert [texts(video).cap for video in "abc"] == [[[7], [2, 1]], [], [[]]]
    arrays = texts.caption_arrays(["c", "a"])
    assert arrays.offsets.tolist() == [0, 1, 3]
    assert arrays.tokens.tolist() == [7, 2, 1]
    with pytest.raises(DataError, match=r"no captions: .* there is no video 'gone'"):
        texts("gone")


@settings(deadline=None, max_examples=15)  # each waits for the disk
@given(
    videos=st.lists(st.lists(st.text("ab ", max_size=9), max_size=4), min_size=1, max_size=7),
    size=st.integers(1, 3),
)
def test_any_captions_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, videos: list[list[str]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    names = [f"v{number}" for number in range(len(videos))]
    store = store_of(folder / "s", *names, size=size)
    times = {
        name: [TimedText(float(i), i + 0.5, t) for i, t in enumerate(v)]
        for name, v in zip(names, videos, strict=True)
    }
    write(f"{folder}/t.", store, times.__getitem__)
    texts = OriginalTexts(f"{folder}/t.", store)
    for name, video in zip(names, videos, strict=True):
        assert texts[name].cap == lengths(video)
        assert texts[name].end.tolist() == [i + 0.5 for i in range(len(video))]


@pytest.mark.faults
def test_videos_without_captions_are_reported_each_time_and_have_none(
    tmp_path: Path, store: OriginalStore
) -> None:
    (tmp_path / "val_meta.pkl").write_bytes(pickle.dumps({0: ["a", "x"], 1: ["y"], 2: ["b"]}))
    store, prefix = OriginalStore(tmp_path, "val"), f"{tmp_path}/text."
    report = write(prefix, store)
    assert report.written == 4
    assert report.failures == [
        NoCaptions("val_0", "x", "nothing was said in x"),
        NoCaptions("val_1", "y", "nothing was said in y"),
    ]
    assert OriginalTexts(prefix, store)["x"].cap == []
    again = write(prefix, store)
    assert (again.written, again.skipped, again.failures) == (0, 4, report.failures)
    Path(f"{prefix}val_1.caps_ids_data.npy").unlink()
    again = write(prefix, store)
    assert (again.written, again.skipped) == (1, 3)
    assert sorted(item.id for item in again.failures) == ["x", "y"]


def test_a_store_that_grew_gets_text_shards_for_what_is_new(tmp_path: Path) -> None:
    store_of(tmp_path / "s", "a")
    write(f"{tmp_path}/t.", FeatureStore.open(tmp_path / "s"))
    with StoreWriter(tmp_path / "s", dim=1, fps=1.0, encoder={}, append=True) as writer:
        writer.add("c", np.ones((1, 1), np.float32))
    report = write(f"{tmp_path}/t.", FeatureStore.open(tmp_path / "s"))
    assert (report.written, report.skipped) == (1, 1)


@pytest.mark.faults
def test_shards_of_another_making_do_not_mix(tmp_path: Path, store: OriginalStore) -> None:
    prefix = f"{tmp_path}/text."
    write(prefix, store)
    message = "made in another way: max_words is 32, not 8; tokenizer is 'T', not 'U'"
    with pytest.raises(StoreError, match=message):
        write(prefix, store, made_by={"tokenizer": "U"}, max_words=8)
    write(prefix, store, made_by={"tokenizer": "U"}, max_words=1, overwrite=True)
    assert OriginalTexts(prefix, store)["a"].cap == [[7], [2]]


@pytest.mark.faults
def test_shards_of_other_videos_are_refused(tmp_path: Path) -> None:
    store_of(tmp_path / "s", "a", "b")
    other = store_of(tmp_path / "other", "a", "c")
    write(f"{tmp_path}/t.", FeatureStore.open(tmp_path / "s"))
    with pytest.raises(StoreError, match=r"t\.00000: holds the captions of other videos"):
        write(f"{tmp_path}/t.", other)
    with pytest.raises(StoreError, match=r"t\.00000: holds the captions of other videos"):
        OriginalTexts(f"{tmp_path}/t.", other)["a"]


@pytest.mark.faults
def test_shards_that_we_did_not_write_are_not_touched(tmp_path: Path, store: OriginalStore) -> None:
    write_text_shard(f"{tmp_path}/text.val_3", [CAPTIONS["c"]])
    before = content(tmp_path)
    with pytest.raises(StoreError, match=r"text\.val_3\..*\.npy: is there already, and .*texts"):
        write(f"{tmp_path}/text.", store)
    after = content(tmp_path)
    assert {name: after[name] for name in before} == before


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["{", '{"shards": {}}', '{"made_by": {}, "shards": 3}'])
def test_a_damaged_list_of_what_is_done_is_named(
    tmp_path: Path, store: OriginalStore, damage: str
) -> None:
    prefix = f"{tmp_path}/text."
    write(prefix, store)
    Path(f"{prefix}texts.json").write_text(damage)
    with pytest.raises(StoreError, match=r"text\.texts\.json: is damaged"):
        write(prefix, store)


@pytest.mark.faults
def test_a_shard_that_is_torn_is_written_anew(tmp_path: Path, store: OriginalStore) -> None:
    prefix = f"{tmp_path}/text."
    write(prefix, store)
    before = content(tmp_path)
    Path(f"{prefix}val_0.startends_data.npy").write_bytes(b"torn")
    report = write(prefix, store)
    assert (report.written, report.skipped) == (2, 1)
    assert content(tmp_path) == before


@pytest.mark.faults
def test_two_writers_do_not_meet(tmp_path: Path, store: OriginalStore) -> None:
    prefix = f"{tmp_path}/text."

    def second(video: str) -> list[TimedText]:
        write(prefix, store)
        return []

    with pytest.raises(StoreError, match=r"another process is writing these text shards"):
        write(prefix, store, second)


KILLED = """
import os, signal, sys
from pathlib import Path
from mmvt.datasets.store import FeatureStore
from mmvt.datasets.text_shards import write_text_shards
from mmvt.errors import DataError
from mmvt.processors.text.dedup import TimedText

left = int(sys.argv[3])

def count(event, arguments):
    global left
    if event in ("os.rename", "os.remove"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

def said(video):
    if video == "v2":
        raise DataError("nothing was said in v2")
    return [TimedText(0.0, 1.0, "a" * int(video[1:]))]

sys.addaudithook(count)
write_text_shards(sys.argv[1], FeatureStore(Path(sys.argv[2])), said,
                  lambda texts: [[len(text)] for text in texts], made_by={"tokenizer": "T"})
"""


def said_by_number(video: str) -> list[TimedText]:
    """Do as the program that is killed."""
    if video == "v2":
        raise DataError("nothing was said in v2")
    return [TimedText(0.0, 1.0, "a" * int(video[1:]))]


# a shard takes six names: the failures, four parts, the list of what is done, which begins empty
@pytest.mark.faults
@pytest.mark.parametrize("after", [1, 2, 5, 7, 12, 19])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, after: int) -> None:
    store = store_of(tmp_path / "s", *(f"v{number}" for number in range(6)))

    def tokens(texts: list[str]) -> list[list[int]]:
        return [[len(text)] for text in texts]

    def run(name: str) -> None:
        prefix = f"{tmp_path}/{name}/"
        write_text_shards(prefix, store, said_by_number, tokens, made_by={"tokenizer": "T"})

    run("straight")
    arguments = [f"{tmp_path}/killed/", str(store.folder), str(after)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, *arguments]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    run("killed")
    straight, killed = content(tmp_path / "straight"), content(tmp_path / "killed")
    assert {name: data for name, data in killed.items() if not name.endswith(".tmp")} == straight


def test_files_have_the_form_of_the_original(tmp_path: Path) -> None:
    write_text_shard(f"{tmp_path}/text.val_0", [CAPTIONS["a"], CAPTIONS["c"]], max_words=3)
    parts = {part: np.load(tmp_path / f"text.val_0.{part}.npy") for part in PARTS}
    assert len(listing(tmp_path)) == 4
    assert parts["caps_ids_data"].tolist() == [[7, -1, -1], [8, 9, 10], [-1, -1, -1]]
    assert parts["startends_data"].tolist() == [[0, 1.5], [1.5, 4.25], [0.5, 2]]
    assert parts["caps_ids_starts"].tolist() == parts["startends_starts"].tolist() == [0, 2, 3]
    kinds = {part: str(array.dtype) for part, array in parts.items()}
    assert kinds == {
        "startends_starts": "int64",
        "startends_data": "float32",
        "caps_ids_starts": "int64",
        "caps_ids_data": "int32",
    }


def test_a_shard_may_hold_no_caption(tmp_path: Path) -> None:
    write_text_shard(f"{tmp_path}/text.val_0", [CAPTIONS["b"]])
    assert np.load(tmp_path / "text.val_0.startends_data.npy").shape == (0, 2)
    assert np.load(tmp_path / "text.val_0.caps_ids_data.npy").shape == (0, 32)


def test_long_captions_are_cut_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        write_text_shard(f"{tmp_path}/t", [CAPTIONS["a"]], max_words=2)
    assert np.load(tmp_path / "t.caps_ids_data.npy").tolist() == [[7, -1], [8, 9]]
    assert caplog.messages == [f"{tmp_path}/t: cut 1 of 2 captions to 2 tokens"]
