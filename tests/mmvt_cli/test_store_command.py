"""``mmvt store``: what it prints, exit codes, and help without torch."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from mmvt.datasets.store import FeatureStore
from mmvt.features.shard import StoreWriter
from mmvt_cli import __main__ as mmvt_main
from mmvt_cli import store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with StoreWriter(tmp_path / "s", dim=2, fps=2.0, encoder={"name": "T"}) as writer:
        for number in range(7):
            writer.add(f"ü{number}", np.full((1 + number, 2), number, np.float32))
    return tmp_path / "s"


def test_info_tells_what_a_store_holds(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert store.main(["info", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    size = sum(path.stat().st_size for path in folder.glob("*.npy"))
    assert facts == {
        "folder": str(folder),
        "videos": 7,
        "rows": 28,
        "shards": 1,
        "bytes": size,
        "dim": 2,
        "grid": 1,
        "dtype": "float16",
        "fps": 2.0,
        "encoder": {"name": "T"},
        "first_ids": ["ü0", "ü1", "ü2", "ü3", "ü4"],
    }
    assert mmvt_main.main(["store", "info", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "videos      7" in lines
    assert 'first_ids   ["ü0", "ü1", "ü2", "ü3", "ü4"]' in lines


def test_verify_finds_nothing_wrong(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert store.main(["verify", str(folder)]) == 0
    assert "7 videos and 240 bytes of rows are as they were written" in capsys.readouterr().out


@pytest.mark.faults
def test_verify_names_shard_and_bytes(folder: Path, capsys: pytest.CaptureFixture[str]):
    data = bytearray((folder / "00000_data.npy").read_bytes())
    data[-1] ^= 1
    (folder / "00000_data.npy").write_bytes(data)
    assert store.main(["verify", str(folder)]) == 1
    error = capsys.readouterr().err
    assert f"damaged: {folder}/00000_data.npy: bytes 0 to 239 are not what was written" in error


@pytest.mark.faults
@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_store_that_cannot_be_opened_gives_code_2(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], command: str
):
    assert store.main([command, str(tmp_path / "none")]) == 2
    assert "there is no feature store" in capsys.readouterr().err
    (folder / "00000_data.npy").write_bytes(b"")
    assert store.main([command, str(folder)]) == 2
    assert "00000_data.npy: has 0 bytes, not 240" in capsys.readouterr().err


def test_stores_are_merged(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with StoreWriter(tmp_path / "t", dim=2, fps=2.0, encoder={"name": "T"}) as writer:
        writer.add("ü0", np.zeros((1, 2)))
        writer.add("w", np.ones((1, 2)))
    argv = ["merge", str(folder), str(tmp_path / "t"), "--out", str(tmp_path / "u")]
    assert store.main(argv) == 2
    assert "1 videos are in both" in capsys.readouterr().err
    assert store.main([*argv, "--skip-duplicates"]) == 0
    assert f"8 videos added to {tmp_path}/u, 1 there already" in capsys.readouterr().out
    assert "w" in FeatureStore.open(tmp_path / "u")


def test_every_form_is_known_by_its_look(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    rows = np.ones((2, 2), np.float16)
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "v.npy", rows)
    (tmp_path / "pickles").mkdir()
    (tmp_path / "pickles" / "v.pkl").write_bytes(pickle.dumps(rows))
    (tmp_path / "v.pickle").write_bytes(pickle.dumps({"v": rows}))
    with h5py.File(tmp_path / "v.hdf5", "w") as file:
        file["v"] = rows
    (tmp_path / "original").mkdir()
    (tmp_path / "original" / "train_meta.pkl").write_bytes(pickle.dumps({0: ["v"]}))
    np.save(tmp_path / "original" / "train_0_data.npy", rows)
    np.save(tmp_path / "original" / "train_0_starts.npy", np.array([0, 2]))
    for name in ("npy", "pickles", "v.pickle", "v.hdf5", "original"):
        source, target = str(tmp_path / name), tmp_path / "out" / name
        split = ["--split", "train"] if name == "original" else []
        assert store.main(["convert", source, str(target), *split]) == 0
        assert capsys.readouterr().out == "1 added, 0 there already, 0 failed\n"
        assert FeatureStore.open(target)["v"].tolist() == rows.tolist()


def test_a_store_becomes_hdf5_or_shards_of_the_original(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert store.main(["convert", str(folder), str(tmp_path / "x.h5")]) == 0
    assert capsys.readouterr().out == f"7 videos written to {tmp_path}/x.h5\n"
    assert store.main(["convert", str(folder), str(tmp_path / "o")]) == 2
    assert "add --split train or --split val" in capsys.readouterr().err
    argv = ["convert", str(folder), str(tmp_path / "o"), "--split", "val"]
    assert store.main(argv) == 0
    output = capsys.readouterr().out
    assert f"the ids are in {tmp_path}/o/val_meta.json, where the original has a pickle" in output
    back = ["convert", str(tmp_path / "o"), str(tmp_path / "back"), "--split", "val"]
    assert store.main(back) == 0
    assert FeatureStore.open(tmp_path / "back")["ü6"].shape == (7, 2)


@pytest.mark.faults
def test_videos_that_cannot_be_converted_are_listed_with_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "good.npy", np.ones((2, 2), np.float16))
    np.save(tmp_path / "npy" / "[bold]bad.npy", np.full((2, 2), np.nan))
    argv = ["convert", str(tmp_path / "npy"), str(tmp_path / "s"), "--encoder", "E"]
    assert store.main(argv) == 3
    output = capsys.readouterr().out
    assert "[bold]bad" in output
    assert "2 of its 2 steps hold NaN or infinite numbers" in output
    assert output.endswith("1 added, 0 there already, 1 failed\n")


@pytest.mark.faults
def test_what_cannot_be_converted_at_all_gives_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert store.main(["convert", str(tmp_path / "none"), str(tmp_path / "s")]) == 2
    assert "none: does not exist" in capsys.readouterr().err
    (tmp_path / "x.txt").touch()
    assert store.main(["convert", str(tmp_path / "x.txt"), str(tmp_path / "s")]) == 2
    assert "x.txt: is no folder, and its name ends in none of .h5, .hdf5" in capsys.readouterr().err


def test_help_shows_examples_without_torch():
    code = (
        "import sys\nfrom mmvt_cli.store import parser\n"
        "print(parser().format_help())\n"
        "assert not {'torch', 'numpy', 'h5py', 'rich'} & set(sys.modules)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "examples:\n  mmvt store info" in output
