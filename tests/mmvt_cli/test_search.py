from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmvt_cli import index, search
from tests.colours import write_colour_task, write_colours


@pytest.fixture
def indexed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return the folder of an index of two colours and of one file that is no video."""
    write_colours(tmp_path / "videos" / "a red film.mp4", ["red"] * 2)
    write_colours(tmp_path / "videos" / "grün.mp4", ["green"])
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"nothing")
    assert run_index(tmp_path) == 3
    printed = capsys.readouterr().out
    assert "broken.mp4" in printed
    assert "index: 2 videos; 2 new, 0 changed, 0 gone" in printed
    return tmp_path / "index"


def run_index(folder: Path, *more: str) -> int:
    task = folder / "colours.yaml"
    if not task.exists():
        write_colour_task(folder)
    words = [str(folder / "videos"), "--model", str(task), "--out", str(folder / "index"), *more]
    return index.main(words)


def run_search(folder: Path, *more: str) -> int:
    return search.main([str(folder), *more, "--trust-code"])


def test_table_has_the_best_video_first(indexed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_search(indexed, "a green box") == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["score", "best", "span", "file"]
    assert first.endswith("0:00.0 – 0:01.0  grün.mp4")
    assert second.endswith("a red film.mp4")
    assert run_search(indexed, "red", "--top", "1") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_json_is_all_that_is_printed(indexed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_search(indexed, "red", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["query"] == "red"
    assert "colours.yaml" in answer["model"]
    best = answer["results"][0]
    assert (best["rank"], best["id"], best["duration"]) == (1, "a red film.mp4", 2.0)
    assert best["path"] == str((indexed.parent / "videos" / "a red film.mp4").resolve())
    assert best["score"] > 0.9
    assert 0 <= best["start"] < best["end"] <= 2


def test_page_is_written(indexed: Path, tmp_path: Path) -> None:
    assert run_search(indexed, "<red>", "--html", str(tmp_path / "pages" / "answer.html")) == 0
    page = (tmp_path / "pages" / "answer.html").read_text()
    assert page.count("data:image/jpeg") == 2
    assert "&lt;red&gt;" in page


def test_second_run_adds_what_is_new_and_drops_what_is_gone(
    indexed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos" / "broken.mp4").unlink()
    (tmp_path / "videos" / "grün.mp4").unlink()
    write_colours(tmp_path / "videos" / "blue.mp4", ["blue"])
    assert run_index(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "gone, and out of the index: grün.mp4" in printed
    assert "index: 2 videos; 1 new, 0 changed, 1 gone" in printed
    assert run_index(tmp_path) == 0


def test_file_that_was_broken_is_told_again(
    indexed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_index(tmp_path) == 3
    assert "broken.mp4" in capsys.readouterr().out


def test_index_of_another_model_is_refused(
    indexed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_index(tmp_path, "trunk={name: ColourTrunk, gain: 2.0}") == 2
    problem = capsys.readouterr().err
    assert "was indexed with" in problem
    assert "but this is" in problem


def test_model_that_changed_since_is_refused(
    indexed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tmp_path / "colours.yaml"
    task.write_text(task.read_text().replace("max_len: 16", "max_len: 20"))
    assert run_search(indexed, "red") == 2
    assert "vectors of two models cannot be compared" in capsys.readouterr().err


def test_yaml_that_an_index_names_imports_no_code(
    indexed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search.main([str(indexed), "red"]) == 2
    assert "--trust-code" in capsys.readouterr().err


def test_index_works_from_elsewhere(
    indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "away").mkdir()
    shutil.move(indexed, tmp_path / "away" / "index")
    monkeypatch.chdir(tmp_path / "away")
    assert run_search(Path("index"), "red") == 0


def test_nothing_to_index_or_to_search_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    assert run_index(tmp_path) == 2
    assert "there is no video in" in capsys.readouterr().err
    assert run_search(tmp_path, "red") == 2
    assert "there is no index" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [(["red", "--top", "0"], "--top is 0"), ([" "], "the query is empty"), ([], "required: query")],
)
def test_wrong_arguments_end_with_usage(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        search.main([str(tmp_path), *words])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["index", "search"])
def test_help_shows_examples_without_torch(command: str) -> None:
    code = (
        "import sys\n"
        "from mmvt_cli.__main__ import main\n"
        f"try: main([{command!r}, '--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"examples:\n  mmvt {command}" in done.stdout
    assert done.stdout.endswith("False\n")
