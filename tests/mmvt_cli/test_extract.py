"""``mmvt extract`` and ``mmvt demo data``: what they print, exit codes, and help without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmvt.datasets.store import FeatureStore
from mmvt_cli import demo_data, extract
from tests.videos import write_video

ENCODER = "EfficientNetLite0:frame_size=32"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "my videos"
    folder.mkdir()
    for name in ("a b.mp4", "ü.mp4"):
        write_video(folder / name, 60)
    return folder


def test_a_folder_becomes_a_store(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(videos), "--encoder", ENCODER, "--fps", "2", "--out", str(tmp_path / "f")]
    assert extract.main(argv) == 0
    assert capsys.readouterr().out == "2 extracted, 0 there already, 0 failed\n"
    store = FeatureStore.open(tmp_path / "f")
    assert sorted(store.ids) == ["a b.mp4", "ü.mp4"]
    assert store["ü.mp4"].shape == (4, 1280)
    assert extract.main(argv) == 0
    assert "0 extracted, 2 there already, 0 failed" in capsys.readouterr().out


def test_bad_files_are_listed_and_the_exit_code_is_3(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "empty.mp4").touch()
    (videos / "[bold]x.mp4").write_text("no video\n" * 99)
    argv = [str(videos), "--encoder", ENCODER, "--segments", "3", "--out", str(tmp_path / "f")]
    assert extract.main(argv) == 3
    output = capsys.readouterr().out
    assert "2 extracted, 0 there already, 2 failed" in output
    flat = "".join(output.replace("│", "").split())
    assert "empty.mp4" in flat
    assert "[bold]x.mp4" in flat
    assert "isempty(0bytes)" in flat
    assert extract.main(argv) == 3
    write_video(videos / "empty.mp4", 60)
    assert extract.main([*argv, "--retry-failed"]) == 3
    assert "1 extracted, 2 there already, 1 failed" in capsys.readouterr().out


def test_a_csv_with_names_that_lead_elsewhere(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.csv").write_text("video\na b.mp4\n../../etc/passwd\n")
    argv = [str(tmp_path / "c.csv"), "--root", str(videos), "--encoder", ENCODER]
    assert extract.main([*argv, "--out", str(tmp_path / "f")]) == 3
    assert "1 extracted, 0 there already, 1 failed" in capsys.readouterr().out
    assert list(FeatureStore.open(tmp_path / "f").ids) == ["a b.mp4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--encoder", "EfficientNetLite"], "did you mean EfficientNetLite0"),
        (["--encoder", "EfficientNetLite0:fram_size=32"], "did you mean frame_size"),
        (["--encoder", ENCODER, "--option", "grid=two"], "grid"),
        (["--encoder", ENCODER, "--option", "grid"], "not of the form"),
        (["--encoder", ENCODER, "--option", "device=cuda:99"], "the device is cuda:99, but torch"),
    ],
)
def test_mistakes_end_with_one_message_and_code_2(
    videos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    message: str,
) -> None:
    assert extract.main([str(videos), *change, "--out", str(tmp_path / "f")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "f").exists()


def test_asking_for_a_gpu_that_is_not_there_is_one_clear_error(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    argv = [str(videos), "--encoder", ENCODER, "--out", str(tmp_path / "f")]
    assert extract.main([*argv, "--device", "cuda", "--half"]) == 2
    error = capsys.readouterr().err
    assert f"error: the device is cuda, but torch {torch.__version__} finds 0 GPUs" in error
    assert not (tmp_path / "f").exists()
    assert extract.main([*argv, "--device", "auto"]) == 0


def test_a_folder_without_videos_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [str(tmp_path), "--encoder", ENCODER, "--out", str(tmp_path / "f")]
    assert extract.main(argv) == 2
    assert "there is no video in" in capsys.readouterr().err


def test_options_of_an_encoder_are_read_from_both_places() -> None:
    assert extract.encoder_options("Name", []) == ("Name", {})
    assert extract.encoder_options("Name:a=1,b=x", ["c=x,y:z", "a=2"]) == (
        "Name",
        {"a": 2, "b": "x", "c": "x,y:z"},
    )


@pytest.mark.parametrize("command", ["extract", "demo_data"])
def test_help_shows_examples_without_torch(command: str) -> None:
    code = (
        f"import sys\nfrom mmvt_cli.{command} import parser\n"
        "print(parser().format_help())\n"
        "assert not {'torch', 'numpy', 'av', 'rich'} & set(sys.modules)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "examples:\n  mmvt " in output


def test_demo_data_makes_all_that_pretraining_needs_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data" / "procedural"
    argv = ["--out", str(folder), "--count", "4"]
    assert demo_data.main(argv) == 0
    assert "4 clips drawn" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {
        "captions.csv",
        "corpus.json",
        "features",
        "tokenizer",
        "videos",
    }
    store = FeatureStore.open(folder / "features")
    assert (store.manifest.grid, store.manifest.fps, len(store)) == (3, 2, 4)
    assert store["00003.mp4"].shape == (6, 9, 1280)
    assert demo_data.main(argv) == 0
    output = capsys.readouterr().out
    assert "4 clips are there" in output
    assert "0 extracted, 4 there already" in output
    assert demo_data.main([*argv, "--seed", "2"]) == 2
    assert "holds a corpus with seed 1, but 2 is asked" in capsys.readouterr().err


def test_demo_data_can_leave_features_out(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    assert demo_data.main(["--out", str(folder), "--count", "2", "--no-features"]) == 0
    assert not (folder / "features").exists()
