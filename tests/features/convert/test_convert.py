"""Other forms of features become stores, and stores become other forms."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmvt.datasets.original_shards import OriginalStore
from mmvt.datasets.store import FeatureStore
from mmvt.errors import ConfigError, DataError, StoreError
from mmvt.features.convert.base import Report, convert
from mmvt.features.convert.hdf5 import HDF5File, write_hdf5
from mmvt.features.convert.npy import NpyFolder
from mmvt.features.convert.original import OriginalSplit, write_original
from mmvt.features.convert.pickles import PickledFeatures
from mmvt.features.shard import StoreWriter
from tests.trap import Trap


def rows(value: float, steps: int = 3, dtype: str = "float16") -> np.ndarray:
    return np.full((steps, 4), value, dtype)


def store_of(folder: Path, **options: Any) -> FeatureStore:
    settings: dict[str, Any] = {"dim": 4, "fps": 2.0, "encoder": {"name": "T", "sha256": "ab"}}
    with StoreWriter(folder, **{**settings, "shard_size": 2, **options}) as writer:
        writer.add("b/ä %2F.mp4", rows(1), duration=1.5, source="b.mp4")
        writer.add(".", rows(2, 2), times=np.array([0.25, 7]))
        writer.add("a", rows(3, 4), n_valid=2)
    return FeatureStore.open(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def reasons(report: Report) -> dict[str, str]:
    return {failure.source: failure.reason for failure in report.failures}


def npy_folder(folder: Path, **arrays: np.ndarray) -> NpyFolder:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return NpyFolder(folder)


# .npy files


def test_a_folder_of_npy_files_becomes_a_store(tmp_path: Path):
    (tmp_path / "npy" / "sub").mkdir(parents=True)
    np.save(
        tmp_path / "npy" / "sub" / "v 2.mp4.npy", np.asfortranarray(np.arange(8.0).reshape(2, 4))
    )
    (tmp_path / "npy" / ".hidden.npy").write_text("")
    (tmp_path / "npy" / "notes.txt").write_text("")
    source = npy_folder(tmp_path / "npy", v1=rows(1, dtype="float64"))
    seen: list[str] = []
    report = convert(source, tmp_path / "s", fps=2.0, encoder="S3D", on_video=seen.append)
    assert (report.added, report.skipped, report.failures) == (2, 0, [])
    assert seen == ["sub/v 2.mp4", "v1"]
    store = FeatureStore.open(tmp_path / "s", verify="full")
    assert store["sub/v 2.mp4"].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert store.times("v1").tolist() == [0, 0.5, 1]
    assert (store.manifest.dtype, store.manifest.encoder) == ("float64", {"name": "S3D"})


def test_grids_stay_grids_and_a_grid_of_one_is_none(tmp_path: Path):
    grid = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    convert(npy_folder(tmp_path / "a", v=grid), tmp_path / "s")
    store = FeatureStore.open(tmp_path / "s")
    np.testing.assert_array_equal(store["v"], grid)
    assert store.manifest.grid == 2
    convert(npy_folder(tmp_path / "b", v=grid[:, :1]), tmp_path / "t")
    np.testing.assert_array_equal(FeatureStore.open(tmp_path / "t")["v"], grid[:, 0])


def test_the_type_of_numbers_can_be_chosen(tmp_path: Path):
    source = npy_folder(tmp_path / "npy", a=rows(1, dtype="float32"), b=rows(7e4, dtype="float32"))
    report = convert(source, tmp_path / "s", dtype="float16")
    assert FeatureStore.open(tmp_path / "s")["a"].dtype == np.float16
    assert "too large for float16" in reasons(report)["b"]


def test_without_a_rate_steps_without_times_are_at_zero(tmp_path: Path):
    convert(npy_folder(tmp_path / "npy", v=rows(1)), tmp_path / "s", fps=0.0)
    store = FeatureStore.open(tmp_path / "s")
    assert (store.manifest.fps, store.times("v").tolist()) == (0, [0, 0, 0])


@pytest.mark.faults
def test_what_cannot_be_stored_is_listed_and_the_others_go_on(tmp_path: Path):
    bad = rows(1, 5)
    bad[1, 0], bad[4, 3] = np.nan, np.inf
    folder = tmp_path / "npy"
    (folder / "a\\b").mkdir(parents=True)
    np.save(folder / "a\\b" / "x.npy", rows(1))
    np.save(tmp_path / "outside.npy", rows(1))
    (folder / "link.npy").symlink_to(tmp_path / "outside.npy")
    (folder / "text.npy").write_text("no array")
    np.save(folder / "trap.npy", np.array([Trap(tmp_path / "sprung")], object), allow_pickle=True)
    np.save(folder / "cafe\u0301.npy", rows(1))
    np.save(folder / "caf\u00e9.npy", rows(1))
    source = npy_folder(
        folder,
        a_nan=bad,
        empty=rows(1, 0),
        flat=np.ones(4, np.float16),
        odd=np.ones((2, 3, 4), np.float16),
        whole=np.ones((2, 4), np.int64),
        long=np.ones((2, 4), np.longdouble),
        wide=np.ones((2, 5), np.float16),
        good=rows(2),
    )
    (folder / "cut.npy").write_bytes((folder / "good.npy").read_bytes()[:-1])
    source = NpyFolder(source.folder)
    report = convert(source, tmp_path / "s")
    assert sorted(FeatureStore.open(tmp_path / "s", verify="full").ids) == ["caf\u00e9", "good"]
    found = reasons(report)
    expected = {
        "a_nan": "2 of its 5 steps hold NaN or infinite numbers",
        "empty": "shape (0, 4)",
        "flat": "shape (4,)",
        "odd": "shape (2, 3, 4)",
        "whole": "holds int64, not floating point numbers",
        "long": "not floating point numbers",
        "wide": "has rows of shape (2, 5)",
        "link.npy": "is a link that leads out of the folder",
        "text": "text.npy: is damaged",
        "cut": "cut.npy: is damaged",
        "trap": "trap.npy: unsafe, not read: it holds Python objects",
        "a\\b/x": "leads out of its folder",
        "caf\u00e9": "has the same id as 'cafe\u0301'",
    }
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in found[name]
    assert not (tmp_path / "sprung").exists()


@pytest.mark.faults
def test_nothing_usable_makes_no_store(tmp_path: Path):
    report = convert(npy_folder(tmp_path / "npy", v=rows(np.nan)), tmp_path / "s")
    assert (report.added, len(report.failures)) == (0, 1)
    assert not (tmp_path / "s").exists()
    (tmp_path / "none").mkdir()
    with pytest.raises(StoreError, match=r"none: there is no \.npy file"):
        NpyFolder(tmp_path / "none")


def test_a_second_run_adds_what_is_new(tmp_path: Path):
    convert(npy_folder(tmp_path / "npy", a=rows(1), b=rows(2)), tmp_path / "s")
    report = convert(npy_folder(tmp_path / "npy", c=rows(3)), tmp_path / "s")
    assert (report.added, report.skipped) == (1, 2)
    assert list(FeatureStore.open(tmp_path / "s", verify="full").ids) == ["a", "b", "c"]


def test_other_options_do_not_mix(tmp_path: Path):
    source = npy_folder(tmp_path / "npy", a=rows(1))
    convert(source, tmp_path / "s")
    with pytest.raises(StoreError, match=r"fps is 1\.0, not 2\.0"):
        convert(source, tmp_path / "s", fps=2.0)


@pytest.mark.parametrize("fps", [-1.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(tmp_path: Path, fps: float):
    with pytest.raises(ConfigError, match="which is no number of steps a second"):
        convert(npy_folder(tmp_path / "npy", a=rows(1)), tmp_path / "s", fps=fps)


# HDF5


def test_a_store_goes_through_hdf5_and_comes_back_byte_for_byte(tmp_path: Path):
    store = store_of(tmp_path / "s")
    write_hdf5(store, tmp_path / "f" / "x.h5")
    with h5py.File(tmp_path / "f" / "x.h5") as file:
        assert list(file) == ["b%2Fä %252F.mp4", "%2E", "a"]
        assert file["a"].attrs["n_valid"] == 2
        assert file["%2E"].attrs["times"].tolist() == [0.25, 7]
    report = convert(HDF5File(tmp_path / "f" / "x.h5"), tmp_path / "t", shard_size=2)
    assert (report.added, report.failures) == (3, [])
    assert content(tmp_path / "t") == content(tmp_path / "s")


@settings(deadline=None, max_examples=15)  # each waits for the disk
@given(
    ids=st.lists(st.text("aä/%. ", min_size=1, max_size=4), min_size=1, max_size=6, unique=True),
    grid=st.sampled_from([1, 2]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    data=st.data(),
)
def test_any_store_comes_back_from_hdf5(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], grid: int, dtype: str, data: Any
):
    folder = tmp_path_factory.mktemp("stores")
    with StoreWriter(folder / "s", dim=2, grid=grid, fps=3.0, dtype=dtype, encoder={}) as writer:
        for video_id in ids:
            steps = data.draw(st.integers(1, 3))
            shape = (steps, 2) if grid == 1 else (steps, grid**2, 2)
            try:
                writer.add(video_id, np.random.default_rng(steps).random(shape))
            except DataError:
                continue
    store = FeatureStore.open(folder / "s")
    if len(store):
        write_hdf5(store, folder / "x.h5")
        assert convert(HDF5File(folder / "x.h5"), folder / "t").failures == []
        assert content(folder / "t") == content(folder / "s")


def test_a_long_video_has_room_for_its_times(tmp_path: Path):
    with StoreWriter(tmp_path / "s", dim=1, fps=0.0, encoder={}) as writer:
        writer.add("v", np.ones((20_000, 1)), times=np.arange(20_000) ** 0.5)
    write_hdf5(FeatureStore.open(tmp_path / "s"), tmp_path / "x.h5")
    features = HDF5File(tmp_path / "x.h5").read("v")
    assert features.times is not None
    assert features.times[-1] == 19_999**0.5


def test_groups_of_foreign_files_are_parts_of_ids(tmp_path: Path):
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file["train/v1"] = rows(1)
        file["train/v1"].attrs["duration"] = 3
        file["v2"] = rows(2)
        file["again"] = file["train"]
        file["train/loop"] = file["/"]
    report = convert(HDF5File(tmp_path / "x.hdf5"), tmp_path / "s", fps=4.0, encoder="E")
    store = FeatureStore.open(tmp_path / "s")
    assert list(store.ids)[-1] == "v2"
    assert store.metadata("again/v1")["duration"] == 3
    assert store.manifest.fps == 4
    assert report.failures == []


@pytest.mark.faults
def test_hdf5_that_leads_elsewhere_or_is_wrong_is_listed(tmp_path: Path):
    (tmp_path / "raw").write_bytes(bytes(32))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["v"] = rows(1)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["good"] = rows(1)
        file["soft"] = h5py.SoftLink("/good")
        file["external"] = h5py.ExternalLink("other.h5", "v")
        file.create_dataset("raw", (4, 4), "f2", external=[(str(tmp_path / "raw"), 0, 32)])
        layout = h5py.VirtualLayout((3, 4), "f2")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "v", (3, 4))
        file.create_virtual_dataset("virtual", layout)
        file["text"] = "words"
        file["nan"] = rows(np.nan)
        file["twin"] = rows(1)
        file["twin"].attrs["id"] = "good"
        file["when"] = rows(1)
        file["when"].attrs["duration"] = "long"
        file["times"] = rows(1)
        file["times"].attrs["times"] = [0.0]
    report = convert(HDF5File(tmp_path / "x.h5"), tmp_path / "s")
    assert list(FeatureStore.open(tmp_path / "s").ids) == ["good"]
    found = {source.rpartition("/")[2]: reason for source, reason in reasons(report).items()}
    expected = {
        "soft": "is a link",
        "external": "is a link",
        "raw": "its numbers lie in another file",
        "virtual": "its numbers lie in another file",
        "text": "holds |S5, not floating point numbers",
        "nan": "3 of its 3 steps hold NaN",
        "twin": "has the same id as /good",
        "when": "/when: cannot be read: could not convert string to float",
        "times": "3 steps, but 1 times",
    }
    assert found.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in found[name]


@pytest.mark.faults
def test_files_that_are_no_hdf5_are_named(tmp_path: Path):
    (tmp_path / "x.h5").write_text("no")
    with pytest.raises(StoreError, match=r"x\.h5: cannot be read as HDF5"):
        HDF5File(tmp_path / "x.h5")
    h5py.File(tmp_path / "y.h5", "w").close()
    with pytest.raises(StoreError, match=r"y\.h5: holds no dataset"):
        HDF5File(tmp_path / "y.h5")


def test_what_is_told_may_not_contradict_the_file(tmp_path: Path):
    write_hdf5(store_of(tmp_path / "s"), tmp_path / "x.h5")
    source = HDF5File(tmp_path / "x.h5")
    with pytest.raises(ConfigError, match="fps is 1, but the source says 2"):
        convert(source, tmp_path / "t", fps=1.0)
    with pytest.raises(ConfigError, match="encoder is 'X', but the source says 'T'"):
        convert(source, tmp_path / "t", encoder="X")
    convert(source, tmp_path / "t", encoder="T", fps=2.0)


@pytest.mark.faults
def test_an_hdf5_file_appears_whole_or_not_at_all(tmp_path: Path):
    store = store_of(tmp_path / "s")

    def stop(video_id: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_hdf5(store, tmp_path / "f" / "x.h5", on_video=stop)
    assert list((tmp_path / "f").iterdir()) == []
    write_hdf5(store, tmp_path / "f" / "x.h5")
    with pytest.raises(StoreError, match=r"x\.h5: exists already"):
        write_hdf5(store, tmp_path / "f" / "x.h5")
    with pytest.raises(StoreError, match=r"y\.h5: cannot be written"):
        write_hdf5(store, tmp_path / "f" / "x.h5" / "y.h5")


# shards of the original


def test_shards_of_the_original_become_a_store_and_come_back(tmp_path: Path):
    original = tmp_path / "original"
    original.mkdir()
    for number, values in ((0, (1, 2)), (3, (5,))):
        np.save(original / f"val_{number}_data.npy", np.concatenate([rows(v) for v in values]))
        np.save(original / f"val_{number}_starts.npy", np.arange(len(values) + 1) * 3)
    (original / "val_meta.pkl").write_bytes(pickle.dumps({0: ["a", "b"], 3: ["c"]}))
    report = convert(OriginalSplit(original, "val"), tmp_path / "s", shard_size=2)
    assert (report.added, report.failures) == (3, [])
    store = FeatureStore.open(tmp_path / "s", verify="full")
    assert (list(store.ids), store.manifest.fps) == (["a", "b", "c"], 1)
    assert store["c"].tolist() == rows(5).tolist()

    seen: list[str] = []
    listing = write_original(store, tmp_path / "back", "val", on_video=seen.append)
    assert json.loads(listing.read_text()) == {"0": ["a", "b"], "1": ["c"]}
    assert seen == ["a", "b", "c"]
    back = OriginalStore(tmp_path / "back", "val")
    assert back.ids == ["a", "b", "c"]
    assert back["c"].tolist() == rows(5).tolist()
    for part in ("data", "starts"):
        old = (original / f"val_0_{part}.npy").read_bytes()
        assert (tmp_path / "back" / f"val_0_{part}.npy").read_bytes() == old


@pytest.mark.faults
def test_a_split_that_is_there_is_not_written_over(tmp_path: Path):
    store = store_of(tmp_path / "s")
    write_original(store, tmp_path / "o", "train")
    with pytest.raises(StoreError, match=r"train_meta\.json: exists already"):
        write_original(store, tmp_path / "o", "train")
    (tmp_path / "o" / "val_meta.pkl").touch()
    with pytest.raises(StoreError, match=r"val_meta\.pkl: exists already"):
        write_original(store, tmp_path / "o", "val")


@pytest.mark.faults
def test_grids_have_no_place_in_shards_of_the_original(tmp_path: Path):
    convert(npy_folder(tmp_path / "npy", v=np.ones((1, 4, 2), np.float16)), tmp_path / "s")
    with pytest.raises(StoreError, match="a step is 2² rows; the original knows one"):
        write_original(FeatureStore.open(tmp_path / "s"), tmp_path / "o", "train")


@pytest.mark.faults
@pytest.mark.parametrize(
    "write",
    [
        lambda store, out: write_hdf5(store, out / "x.h5"),
        lambda store, out: write_original(store, out, "train"),
    ],
)
def test_a_damaged_store_is_not_passed_on(
    tmp_path: Path, write: Callable[[FeatureStore, Path], object]
):
    store_of(tmp_path / "s")
    data = bytearray((tmp_path / "s" / "00000_data.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "s" / "00000_data.npy").write_bytes(data)
    with pytest.raises(StoreError, match=r"00000_data\.npy: bytes 0 to 167 are not"):
        write(FeatureStore.open(tmp_path / "s"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# pickles


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays_are_read_without_numpy_being_called(tmp_path: Path, protocol: int):
    folder = tmp_path / "pickles"
    folder.mkdir()
    values = {
        "half": rows(1),
        "column": np.asfortranarray(np.arange(8, dtype=np.float16).reshape(2, 4)),
        "big": np.arange(8).reshape(2, 4).astype(">f2"),
        "list": [[1.0, 2, 3, 4]],
        "rows": [np.ones(4, np.float16), np.zeros(4, np.float16)],
        "scalars": [[np.float16(1), np.float16(2), 3, 4]],
    }
    for name, value in values.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(value, protocol))
    source = PickledFeatures(folder)
    for name, value in values.items():
        assert source.read(name).rows.tolist() == np.array(value).tolist()
    report = convert(source, tmp_path / "s", dtype="float16")
    assert (report.added, report.failures) == (6, [])
    (tmp_path / "one.pickle").write_bytes(pickle.dumps(values, protocol))
    convert(PickledFeatures(tmp_path / "one.pickle"), tmp_path / "t", dtype="float16")
    assert sorted(FeatureStore.open(tmp_path / "t").ids) == sorted(values)
    (tmp_path / "single.pkl").write_bytes(pickle.dumps(rows(1), protocol))
    assert PickledFeatures(tmp_path / "single.pkl").names == ["single"]


@pytest.mark.parametrize(("moments", "valid"), [(1, 1), (57, 57), (99, 99), (100, 356)])
def test_padding_among_tokens_of_video_chatgpt_is_told(tmp_path: Path, moments: int, valid: int):
    tokens = np.ones((356, 4), np.float16)
    tokens[moments:100] = 0
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "v.pkl").write_bytes(pickle.dumps(tokens))
    convert(PickledFeatures(tmp_path / "p"), tmp_path / "s", fps=0.0)
    known = FeatureStore.open(tmp_path / "s").metadata("v")
    assert (known["n_valid"], known["steps"], known["source"]) == (valid, 356, "v.pkl")


def program(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


@pytest.mark.faults
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (program(b"cposix\nsystem\n", b"\x8c\x02ls", b"\x85R"), "it asks for posix.system"),
        (program(b"cnumpy\nload\n"), "it asks for numpy.load"),
        (program(b"cnumpy\nndarray\n", b"(lb"), "it changes a function"),
        (program(b"cnumpy\nndarray\n", b"K\x03\x85R"), "it makes an array in a way of its own"),
        (program(b"cnumpy\ndtype\n", b"\x8c\x02O8\x85R"), "an array holds 'O8', not plain"),
        (program(b"cnumpy\ndtype\n", b"K\x03\x85R"), "an array holds 3, not plain"),
        (b"Pshelf\n.", "it asks for an object from outside"),
        (pickle.dumps(np.array([{}], object)), "an array holds 'O8', not plain"),
        (pickle.dumps(np.zeros(2, [("a", "f4")])), "an array holds 'V4', not plain"),
    ],
)
def test_a_pickle_that_asks_for_more_than_arrays_is_unsafe(
    tmp_path: Path, data: bytes, reason: str
):
    (tmp_path / "v.pkl").write_bytes(data)
    with pytest.raises(StoreError, match=rf"v\.pkl: unsafe pickle, not read: {reason}"):
        PickledFeatures(tmp_path / "v.pkl")
    with pytest.raises(StoreError, match="unsafe pickle, not read"):
        PickledFeatures(tmp_path).read("v")


@pytest.mark.faults
def test_a_trap_is_not_sprung_and_the_others_go_on(tmp_path: Path):
    folder = tmp_path / "pickles"
    folder.mkdir()
    (folder / "good.pkl").write_bytes(pickle.dumps(rows(1)))
    (folder / "trap.pkl").write_bytes(pickle.dumps([rows(1), Trap(tmp_path / "sprung")]))
    (folder / "cut.pkl").write_bytes(pickle.dumps(rows(1))[:-20])
    (folder / "text.pkl").write_bytes(pickle.dumps("words"))
    (folder / "words.pkl").write_bytes(pickle.dumps([["a"]]))
    (folder / "nothing.pkl").write_bytes(pickle.dumps([]))
    report = convert(PickledFeatures(folder), tmp_path / "s")
    assert list(FeatureStore.open(tmp_path / "s").ids) == ["good"]
    found = reasons(report)
    assert "trap.pkl: unsafe pickle, not read: it asks for posix.mkdir" in found["trap"]
    assert "cut.pkl: damaged pickle" in found["cut"]
    for name in ("text", "words", "nothing"):
        assert f"{name}.pkl: is no array of numbers" in found[name]
    assert not (tmp_path / "sprung").exists()


@pytest.mark.faults
def test_an_array_whose_bytes_do_not_fit_its_shape_is_damaged(tmp_path: Path):
    data = pickle.dumps(rows(1), 4)
    broken = data.replace(b"K\x03K\x04\x86", b"K\x09K\x04\x86")
    assert broken != data
    (tmp_path / "v.pkl").write_bytes(broken)
    with pytest.raises(StoreError, match="damaged pickle: .*cannot reshape"):
        PickledFeatures(tmp_path / "v.pkl")


@pytest.mark.faults
def test_ids_in_a_pickle_are_text(tmp_path: Path):
    (tmp_path / "v.pkl").write_bytes(pickle.dumps({7: rows(1)}))
    with pytest.raises(StoreError, match="7 is no id of a video"):
        PickledFeatures(tmp_path / "v.pkl")
