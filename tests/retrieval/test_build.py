from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mmvt.checkpoint import save_state
from mmvt.errors import ConfigError, DataError
from mmvt.features.extract import extract
from mmvt.features.extraction import Extraction
from mmvt.features.find import Video, find_videos
from mmvt.inference import LoadedModel, load
from mmvt.retrieval.build import Changes, update_index
from mmvt.retrieval.index import ModelRef, VideoIndex
from tests.colours import write_colour_task, write_colours


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(write_colour_task(tmp_path_factory.mktemp("task")))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Return a folder with three videos, one of them longer than the model takes."""
    write_colours(tmp_path / "videos" / "red.mp4", ["red"] * 2)
    write_colours(tmp_path / "videos" / "sub" / "green.mp4", ["green"])
    write_colours(tmp_path / "videos" / "long.mp4", ["red"] * 6 + ["blue"] * 2 + ["red"] * 2)
    return tmp_path / "videos"


class Updater:
    """Updates an index and counts the files that are read."""

    def __init__(self, folder: Path, loaded: LoadedModel) -> None:
        self.folder, self.loaded = folder, loaded
        self.read: list[str] = []

    def __call__(self, where: Path, fingerprint: dict[str, str | None] | None = None) -> Changes:
        self.read = []
        prints = fingerprint or self.loaded.fingerprint
        ref = ModelRef("colours.yaml", None, [], prints)
        found = find_videos(where).videos
        return update_index(self.folder, found, self.loaded, ref, self.extract)

    def extract(self, videos: Sequence[Video], folder: Path) -> None:
        self.read = [video.path.name for video in videos]
        extraction = self.loaded.extraction
        extract(videos, extraction.encoder, folder, extraction.frames)


@pytest.fixture
def update(tmp_path: Path, loaded: LoadedModel) -> Updater:
    return Updater(tmp_path / "index", loaded)


def answer(update: Updater, query: str) -> tuple[str, float, float]:
    vector = update.loaded.encode_text(query)[0].numpy()
    best = VideoIndex.open(update.folder).search(vector, 1)[0]
    return best.file.id, best.start, best.end


def test_search_names_the_file_and_the_seconds(update: Updater, videos: Path) -> None:
    changes = update(videos)
    assert sorted(changes.added) == ["long.mp4", "red.mp4", "sub/green.mp4"]
    assert answer(update, "green")[0] == "sub/green.mp4"
    name, start, end = answer(update, "blue")
    assert name == "long.mp4"
    assert 6 <= start < end <= 8


def test_new_file_costs_one_file(update: Updater, videos: Path) -> None:
    update(videos)
    before = {part.file.id: part for part in VideoIndex.open(update.folder).parts()}
    write_colours(videos / "blue.mp4", ["blue"])
    changes = update(videos)
    assert (update.read, changes.added) == (["blue.mp4"], ["blue.mp4"])
    assert changes.kept == ["long.mp4", "red.mp4", "sub/green.mp4"]
    assert answer(update, "blue")[0] == "blue.mp4"
    for part in VideoIndex.open(update.folder).parts():
        if part.file.id in before:
            np.testing.assert_array_equal(part.vectors, before[part.file.id].vectors)


def test_nothing_new_reads_and_writes_nothing(update: Updater, videos: Path) -> None:
    update(videos)
    before = {path: path.stat().st_mtime_ns for path in update.folder.rglob("*")}
    changes = update(videos)
    assert update.read == []
    assert len(changes.kept) == 3
    assert {path: path.stat().st_mtime_ns for path in update.folder.rglob("*")} == before


def test_changed_file_is_read_again(update: Updater, videos: Path) -> None:
    update(videos)
    write_colours(videos / "red.mp4", ["blue"])
    changes = update(videos)
    assert (update.read, changes.changed, changes.added) == (["red.mp4"], ["red.mp4"], [])
    assert answer(update, "blue")[0] == "red.mp4"


def test_file_that_is_gone_leaves_the_index(update: Updater, videos: Path) -> None:
    update(videos)
    (videos / "red.mp4").unlink()
    assert update(videos).removed == ["red.mp4"]
    assert [file.id for file in VideoIndex.open(update.folder).files] == [
        "long.mp4",
        "sub/green.mp4",
    ]


def test_videos_of_another_folder_are_added_to_those_there(
    update: Updater, videos: Path, tmp_path: Path
) -> None:
    update(videos)
    write_colours(tmp_path / "more" / "blue.mp4", ["blue"])
    changes = update(tmp_path / "more")
    assert (changes.added, len(changes.kept), changes.removed) == (["blue.mp4"], 3, [])


def test_moved_folder_costs_nothing(update: Updater, videos: Path, tmp_path: Path) -> None:
    update(videos)
    moved = tmp_path / "moved"
    shutil.move(videos, moved)
    assert len(update(moved).kept) == 3
    assert update.read == []
    paths = {file.path for file in VideoIndex.open(update.folder).files}
    assert str((moved / "red.mp4").resolve()) in paths


def test_two_files_of_one_name_are_refused(update: Updater, videos: Path, tmp_path: Path) -> None:
    update(videos)
    write_colours(tmp_path / "more" / "red.mp4", ["red"])
    with pytest.raises(DataError, match="'red.mp4' is indexed as .*videos/red.mp4, which is an"):
        update(tmp_path / "more")


def test_broken_file_is_left_out_until_it_is_another(update: Updater, videos: Path) -> None:
    (videos / "broken.mp4").write_bytes(b"nothing")
    assert "broken.mp4" not in update(videos).added
    assert update(videos).added == []
    write_colours(videos / "broken.mp4", ["blue"])
    assert update(videos).added == ["broken.mp4"]


def test_good_file_that_breaks_leaves_the_index(update: Updater, videos: Path) -> None:
    update(videos)
    (videos / "red.mp4").write_bytes(b"nothing")
    changes = update(videos)
    assert (changes.changed, changes.removed) == ([], [])
    assert len(VideoIndex.open(update.folder).files) == 2


def test_only_broken_files_make_an_empty_index(update: Updater, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "broken.mp4").write_bytes(b"nothing")
    assert update(tmp_path / "bad") == Changes()
    assert VideoIndex.open(update.folder).files == []


def test_features_of_a_run_that_was_stopped_are_used(update: Updater, videos: Path) -> None:
    update(videos)
    for path in (*update.folder.glob("*.npy"), update.folder / "index.json"):
        path.unlink()
    counted = [path.stat().st_mtime_ns for path in update.folder.rglob("*_data.npy")]
    assert len(update(videos).added) == 3
    assert [path.stat().st_mtime_ns for path in update.folder.rglob("*_data.npy")] == counted


def test_long_and_odd_names_are_indexed(update: Updater, videos: Path) -> None:
    names = ["ü" * 120 + ".mp4", "a film with spaces.mp4"]
    for name in names:
        os.link(videos / "red.mp4", videos / name)
    assert set(names) < set(update(videos).added)


def test_another_model_is_refused_and_both_are_named(update: Updater, videos: Path) -> None:
    update(videos)
    with pytest.raises(ConfigError, match="was indexed with colours.yaml .* but this is colours"):
        update(videos, {"settings": "another", "checkpoint": None})


def test_untrained_model_is_refused(tmp_path: Path, videos: Path) -> None:
    task = write_colour_task(tmp_path)
    untrained = load(task, overrides=["trunk={name: ColourTrunk, frozen: false}"])
    with pytest.raises(ConfigError, match="is untrained; give a checkpoint"):
        Updater(tmp_path / "index", untrained)(videos)


def test_features_made_otherwise_than_in_training_are_told(
    tmp_path: Path, videos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = write_colour_task(tmp_path)
    trained_on = tmp_path / "trained_on"
    model = load(task, overrides=[f"dataset.store={trained_on}"])
    save_state(model.model, tmp_path / "weights.safetensors")
    extraction = Extraction(encoder=model.extraction.encoder, fps=2.0)
    extract(find_videos(videos).videos, extraction.encoder, trained_on, extraction.frames)
    for number, rate in enumerate(("2", "1")):
        overrides = [f"dataset.store={trained_on}", f"features.fps={rate}"]
        other = load(task, tmp_path / "weights.safetensors", overrides)
        Updater(tmp_path / f"index{number}", other)(videos)
        assert ("the search will be poor" in caplog.text) == (rate == "1")
    assert "fps is 2.0 there and 1.0 here" in caplog.text
