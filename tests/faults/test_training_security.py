"""Files that are out to do harm, at every door by which weights and features come in."""

from __future__ import annotations

import json
import logging
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from mmvt.checkpoint import load_state
from mmvt.config.recipe import Recipe
from mmvt.errors import CheckpointError, MMVTError, StoreError
from mmvt.inference import load
from mmvt.processors.meta.youcook2 import YouCook2MetaProcessor
from mmvt.processors.video.npy import NpyVideoProcessor
from mmvt_cli.convert import main as convert
from mmvt_cli.index import main as index
from mmvt_cli.predict import main as predict
from mmvt_cli.store import main as store
from mmvt_cli.train import main as train
from tests.corpus import TASK, write_corpus
from tests.trap import Trap

pytestmark = [pytest.mark.faults, pytest.mark.training]

Capture = pytest.CaptureFixture[str]
RESTORED = ("checkpoint_last.pt", "restore_file", "finetune_from_model")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_corpus(tmp_path_factory.mktemp("corpus"), videos=6)


@pytest.fixture
def task(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a task YAML in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(TASK.format(corpus=corpus))
    return path


def harmful(path: Path, form: str) -> Path:
    """Write a file that makes the folder ``sprung`` beside it when it is read carelessly."""
    content = {"model": {"mmmodel.w": torch.ones(1)}, "args": Trap(path.parent / "sprung")}
    if form in ("torch", "legacy"):
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
        return path
    program = pickle.dumps(content)
    if form == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", program)
    else:
        path.write_bytes({"pickle": b"", "7z": b"7z\xbc\xaf\x27\x1c"}[form] + program)
    return path


def errors(capsys: Capture, run: Callable[[list[str]], int], *words: object) -> str:
    """Run a command, which must refuse; return what it says."""
    assert run([str(word) for word in words]) == 2
    said = capsys.readouterr().err
    assert "error: " in said
    assert "Traceback" not in said
    assert "weights_only" not in said  # torch's advice to load it anyway
    return said


@pytest.mark.parametrize("form", ["torch", "legacy", "zip", "pickle", "7z"])
def test_t33_a_checkpoint_that_would_run_code_is_refused_in_every_form(tmp_path: Path, form: str):
    path = harmful(tmp_path / "checkpoint.pt", form)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is (unsafe|torn)"):
        load_state(path)
    path = path.rename(tmp_path / "checkpoint.safetensors")
    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors is torn, or no checkpoint"):
        load_state(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("form", ["torch", "legacy"])
def test_t33_every_command_that_takes_weights_refuses_them(
    task: Path, tmp_path: Path, capsys: Capture, form: str
):
    path = harmful(tmp_path / "evil.pt", form)
    (tmp_path / "clip.mp4").touch()
    for said in (
        errors(capsys, predict, task, "--checkpoint", path),
        errors(capsys, convert, path, "out.safetensors"),
        errors(capsys, index, tmp_path, "--model", task, "--checkpoint", path, "--out", "index"),
    ):
        assert f"{path} is unsafe" in said
        assert "it asks for posix.mkdir" in said
    with pytest.raises(CheckpointError, match="unsafe"):
        load(task, path)
    assert not (tmp_path / "sprung").exists()
    assert not Path("out.safetensors").exists()


@pytest.mark.parametrize("place", RESTORED)
def test_t33_training_begins_with_no_such_weights(
    task: Path, tmp_path: Path, capsys: Capture, place: str
):
    run = tmp_path / "runs" / "task" / "tiny"
    run.mkdir(parents=True)
    if place in RESTORED[1:]:
        path = harmful(tmp_path / "evil.pt", "torch")
        words = [f"fairseq.checkpoint.{place}={path}"]
    else:
        path, words = harmful(run / place, "torch"), []
    said = errors(capsys, train, task, "fairseq.common.cpu=true", *words)
    assert f"{path.name} is unsafe or torn, and not loaded: it asks for posix.mkdir" in said
    assert not list(tmp_path.rglob("sprung"))


def test_t33_arrays_of_objects_are_no_features(tmp_path: Path, capsys: Capture):
    folder = tmp_path / "features"
    folder.mkdir()
    evil = np.array([Trap(folder / "sprung")], object)
    np.save(folder / "v.npy", evil, allow_pickle=True)
    with pytest.raises(StoreError, match=r"v\.npy"):
        NpyVideoProcessor(vfeat_dir=folder)("v")
    assert store(["convert", str(folder), str(tmp_path / "out")]) == 3  # and lists it
    assert "v.npy" in "".join(capsys.readouterr())
    assert not (folder / "sprung").exists()


def test_t33_pickled_features_and_captions_run_nothing(tmp_path: Path, capsys: Capture):
    evil = tmp_path / "evil.pkl"
    evil.write_bytes(pickle.dumps({"v": Trap(tmp_path / "sprung")}))
    said = errors(capsys, store, "convert", evil, tmp_path / "out")
    assert f"{evil}: unsafe pickle, not read: it asks for posix.mkdir" in said
    (tmp_path / "annotation.json").write_text('{"database": {}}')
    with pytest.raises(MMVTError, match=r"evil\.pkl: unsafe pickle"):
        YouCook2MetaProcessor(
            split="train",
            train_path=evil,
            val_path=evil,
            trainval_annotation=tmp_path / "annotation.json",
        )
    assert not (tmp_path / "sprung").exists()


def raw(header: str, data: bytes, length: int | None = None) -> bytes:
    """Return a safetensors file of a header as it is written."""
    text = header.encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(start: int, end: int) -> str:
    return json.dumps({"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end]})


BROKEN = {
    "a huge header": raw("{}", b"", 1 << 62),
    "a header behind the end": raw("{}", b"", 1000),
    "overlapping tensors": raw(f'{{"a": {tensor(0, 8)}, "b": {tensor(4, 12)}}}', bytes(12)),
    "a hole": raw(f'{{"a": {tensor(0, 4)}, "b": {tensor(8, 12)}}}', bytes(12)),
    "data behind the end": raw(f'{{"a": {tensor(0, 8)}}}', bytes(4)),
    "data that is left over": raw(f'{{"a": {tensor(0, 4)}}}', bytes(8)),
    "a name twice": raw(f'{{"a": {tensor(0, 4)}, "a": {tensor(0, 4)}}}', bytes(4)),
    "no JSON": raw("{", b""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_t34_broken_safetensors_are_refused_by_name(
    what: str, task: Path, tmp_path: Path, capsys: Capture
):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(BROKEN[what])
    for said in (
        errors(capsys, predict, task, "--checkpoint", path),
        errors(capsys, convert, path, "out.safetensors"),
    ):
        assert str(path) in said
    if what == "a name twice":
        assert f"{path} names tensors twice, and is not loaded: a" in said


def test_t34_weights_that_are_no_numbers_are_named_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({"good": torch.ones(2), "bad": torch.tensor([1.0, torch.nan])}))
    with caplog.at_level(logging.WARNING):
        assert load_state(path).keys() == {"good", "bad"}
    assert caplog.messages == [f"{path}: weights are not finite: bad"]


def misfits(task: Path) -> dict[str, Any]:
    """Return weights that lack a key, have one too many, and one of another shape."""
    state = {
        f"mmmodel.{key}": value for key, value in Recipe.load(task).model().state_dict().items()
    }
    del state["mmmodel.encoders.video.linear1.bias"]
    state["mmmodel.trunk.strange"] = torch.ones(1)
    state["mmmodel.encoders.video.linear1.weight"] = torch.ones(3, 3)
    return state


def test_t32_keys_that_do_not_fit_are_all_reported_at_every_door(
    task: Path, tmp_path: Path, capsys: Capture
):
    path = tmp_path / "other.pt"
    torch.save({"model": misfits(task)}, path)
    finetune = f"fairseq.checkpoint.finetune_from_model={path}"
    for said in (
        errors(capsys, predict, task, "--checkpoint", path),
        errors(capsys, train, task, finetune, "fairseq.common.cpu=true"),
        errors(capsys, convert, path, "out.safetensors", "--task", task),
    ):
        assert str(path) in said
        assert "missing: encoders.video.linear1.bias" in said
        assert "unexpected: trunk.strange" in said
        assert "of another shape: encoders.video.linear1.weight (3, 3) for (" in said
