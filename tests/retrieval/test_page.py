from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmvt.retrieval.index import Hit, IndexedFile
from mmvt.retrieval.page import clock, render
from tests.colours import write_colours


def hit(path: Path, score: float = 0.5, duration: float | None = 4.0) -> Hit:
    file = IndexedFile(f"sub/{path.name}", str(path), 1, 2, duration, "x", 1, 0)
    return Hit(file, score, 1.0, 2.0)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0:00.0"),
        (9.96, "0:10.0"),
        (59.94, "0:59.9"),
        (59.96, "1:00"),
        (61.4, "1:01"),
        (3599.7, "1:00:00"),
        (3725.0, "1:02:05"),
    ],
)
def test_times_are_written_as_on_a_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_page_holds_its_pictures_and_needs_nothing_else(tmp_path: Path) -> None:
    path = write_colours(tmp_path / "a film.mp4", ["red", "green", "blue", "blue"])
    page = render("green", [hit(path)], count=7, model="zeroshot")
    assert page.count("data:image/jpeg;base64,") == 1
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert [source for source in sources if not source.startswith(("data:", "file:"))] == []
    assert "http" not in page
    assert "1 of 7 videos" in page
    assert "0:01.0 – 0:02.0" in page
    assert "left: 25.00%; width: 25.00%" in page
    assert f"{path.as_uri()}#t=1.0" in page


def test_names_and_query_are_escaped(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>\"'&.mp4"
    page = render("<script>alert(2)</script>", [hit(tmp_path / name)], count=1, model="<b>m</b>")
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>m" not in page
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in page


def test_video_that_is_gone_has_no_picture(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = render("x", [hit(tmp_path / "gone.mp4", duration=None)], count=1, model="m")
    assert "no picture" in page
    assert "gone.mp4" in caplog.text


@pytest.mark.parametrize("score", [0.0, -1.0])
def test_scores_below_zero_have_no_bar(tmp_path: Path, score: float) -> None:
    page = render("x", [hit(tmp_path / "gone.mp4", score)], count=1, model="m")
    assert "width: 0.0%" in page


def test_nothing_found_is_said() -> None:
    assert "The index holds no video." in render("x", [], count=0, model="m")
