from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.predictions import load_predictions, save_predictions
from tests.trap import Trap


def test_arrays_and_protocol_are_read_as_they_were_written(tmp_path: Path):
    arrays = {"ids": np.array(["ü b", ""]), "scores": np.array([[0.1, -np.inf]], np.float32)}
    for name in ("one", "two"):
        save_predictions(tmp_path / name, arrays, {"split": "tëst", "seed": 3})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    read, protocol = load_predictions(tmp_path / "one")
    assert protocol == {"split": "tëst", "seed": 3}
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)
    assert read["scores"].dtype == np.float32


@pytest.mark.faults
def test_files_that_are_no_predictions_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone\.npz: there are no such predictions"):
        load_predictions(tmp_path / "gone.npz")
    for name, content in {"empty.npz": b"", "text.npz": b"PK\x03\x04 not a zip"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: damaged, or no predictions"):
            load_predictions(tmp_path / name)
    np.savez(tmp_path / "cut.npz", protocol=np.array("{}"), rows=np.arange(999))
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole.replace(b"\x07\x00\x00\x00", b"\x08\x00\x00\x00"))
    with pytest.raises(DataError, match=r"cut\.npz: damaged, or no predictions: Bad CRC"):
        load_predictions(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", something=np.zeros(2))
    with pytest.raises(DataError, match=r"other\.npz: holds no predictions of mmvt"):
        load_predictions(tmp_path / "other.npz")
    np.save(tmp_path / "array.npy", np.zeros(2))
    with pytest.raises(DataError, match=r"array\.npy: damaged, or no predictions"):
        load_predictions(tmp_path / "array.npy")


@pytest.mark.faults
def test_objects_are_neither_written_nor_read(tmp_path: Path):
    objects: Any = np.array([Trap(tmp_path / "sprung")], dtype=object)
    with pytest.raises(DataError, match="ids: predictions must be numbers or text, not objects"):
        save_predictions(tmp_path / "p.npz", {"ids": objects}, {})
    np.savez(tmp_path / "trap.npz", protocol=objects)
    with pytest.raises(DataError, match=r"trap\.npz: damaged, or no predictions"):
        load_predictions(tmp_path / "trap.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["trap.npz"]
