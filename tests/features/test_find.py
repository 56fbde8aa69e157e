"""Which files are videos, and what their ids are."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from mmvt.errors import DataError
from mmvt.features.find import find_videos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.MP4", "a.mp4", "sub/c d.mkv", "notes.txt", ".hidden.mp4", ".git/x.mp4"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "videos"


def ids(where: str | Path, root: Path | None = None) -> list[str]:
    return [video.id for video in find_videos(where, root).videos]


def test_a_folder_is_searched_with_its_subfolders(folder: Path) -> None:
    assert ids(folder) == ["a.mp4", "b.MP4", "sub/c d.mkv"]
    assert find_videos(folder).videos[2].path == folder / "sub" / "c d.mkv"


def test_a_glob_gives_ids_from_its_first_wildcard_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ids(f"{folder}/**/*.mkv") == ["sub/c d.mkv"]
    assert ids(f"{folder}/?.mp4") == ["a.mp4"]
    assert ids(f"{folder}/sub/*", root=folder) == ["sub/c d.mkv"]
    monkeypatch.chdir(folder)
    assert ids("*.mp4") == ["a.mp4"]


def test_one_file_is_a_list_of_one(folder: Path) -> None:
    assert ids(folder / "sub" / "c d.mkv") == ["c d.mkv"]


def test_a_csv_names_each_video_once(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text("﻿video, caption\na.mp4,one\nsub/c d.mkv,two\na.mp4,three\n")
    found = find_videos(table, root=folder)
    assert [(v.id, v.path) for v in found.videos] == [
        ("a.mp4", folder / "a.mp4"),
        ("sub/c d.mkv", folder / "sub" / "c d.mkv"),
    ]
    assert find_videos(table).videos[0].path == tmp_path / "a.mp4"


def test_a_csv_without_the_column_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("file,caption\na.mp4,one\n")
    with pytest.raises(DataError, match=r"c\.csv has no column 'video', only file, caption"):
        find_videos(tmp_path / "c.csv")
    (tmp_path / "c.csv").write_bytes(b"video\n\xff\xfe\n")
    with pytest.raises(DataError, match=r"c\.csv cannot be read"):
        find_videos(tmp_path / "c.csv")


@pytest.mark.parametrize("where", ["none", "none/*.mp4", "none.csv"])
def test_nothing_found_is_an_error(tmp_path: Path, where: str) -> None:
    with pytest.raises(DataError, match="there is no video in"):
        find_videos(tmp_path / where)


def test_names_that_lead_elsewhere_are_refused_one_by_one(tmp_path: Path) -> None:
    table = tmp_path / "c.csv"
    names = ["../../etc/x", "/etc/passwd", "a" * 300, "good.mp4", "tab\there.mp4"]
    table.write_text("video\n" + "".join(f'"{name}"\n' for name in names))
    found = find_videos(table)
    assert [v.id for v in found.videos] == ["good.mp4"]
    assert [f.id for f in found.refused] == [*names[:3], "tab\\there.mp4"]
    assert all(failure.reason for failure in found.refused)


def test_a_name_that_is_no_text_is_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.mp4")).write_bytes(b"x")
    found = find_videos(folder)
    assert len(found.videos) == 3
    assert found.refused[0].reason.endswith("holds a control character")
    found.refused[0].source.encode()


def test_two_spellings_of_one_name_are_one_id(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "ä.mp4") for form in ("NFC", "NFD"))
    (tmp_path / apart).write_bytes(b"x")
    assert ids(tmp_path) == [composed]
    (tmp_path / "c.csv").write_text(f"video\n{composed}\n", encoding="utf-8")
    assert find_videos(tmp_path / "c.csv").videos[0].path.exists()
    (tmp_path / composed).write_bytes(b"x")
    found = find_videos(tmp_path)
    assert len(found.videos) == 1
    assert "has the same id as" in found.refused[0].reason
