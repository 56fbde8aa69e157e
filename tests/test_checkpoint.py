from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mmvt.checkpoint import LoadReport, load_into, load_state, save_state
from mmvt.errors import CheckpointError
from tests.trap import Trap


class Tied(nn.Module):
    """Two names of one weight, a view of another, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 2)
        self.decoder = nn.Linear(2, 3)
        self.decoder.weight = self.embedding.weight
        self.register_buffer("steps", torch.arange(6).view(2, 3).T)


def test_saved_weights_come_back_tied_ones_under_each_name(tmp_path: Path):
    model = Tied()
    save_state(model, tmp_path / "new" / "model.safetensors")
    state = load_state(tmp_path / "new" / "model.safetensors")
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    other = Tied()
    assert load_into(other, state) == LoadReport()
    assert torch.equal(other.decoder.weight, model.embedding.weight)
    assert other.decoder.weight is other.embedding.weight


def test_saving_replaces_a_file_as_a_whole_and_leaves_nothing_else(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_state(nn.Linear(2, 2), path)
    save_state(nn.Linear(3, 3), path)
    assert load_file(path)["weight"].shape == (3, 3)
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    model = nn.Linear(2, 2)
    save_state(model, path)
    before = path.read_bytes()
    model.register_buffer("broken", torch.zeros(2).to_sparse())
    with pytest.raises((ValueError, RuntimeError, NotImplementedError)):
        save_state(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_plain_state_dict_of_torch_is_read(tmp_path: Path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "model.pt")
    assert load_state(tmp_path / "model.pt").keys() == {"weight", "bias"}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_of_fairseq_is_read_without_its_prefix(tmp_path: Path, zipped: bool):
    container = {
        "args": None,
        "cfg": {"model": argparse.Namespace(arch="mmarch", lr=[5e-5])},
        "model": {"mmmodel.head.weight": torch.ones(2)},
        "optimizer_history": [{"num_updates": 3}],
    }
    path = tmp_path / "checkpoint_best.pt"
    torch.save(container, path, _use_new_zipfile_serialization=zipped)
    state = load_state(path)
    assert {key: value.tolist() for key, value in state.items()} == {"head.weight": [1.0, 1.0]}


def test_reading_allows_nothing_for_later_readers(tmp_path: Path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"model": {"w": torch.ones(1)}, "cfg": argparse.Namespace()}, path)
    load_state(path)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, zipped: bool):
    path = tmp_path / "checkpoint.pt"
    content = {"model": {"w": torch.ones(1)}, "extra": Trap(tmp_path / "sprung")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        CheckpointError, match=r"checkpoint.pt is unsafe .* it asks for posix.mkdir"
    ) as e:
        load_state(path)
    assert "weights_only" not in str(e.value)  # torch's advice to load it anyway is not passed on
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
@pytest.mark.parametrize("kept", [0, 1, 9, 100, -1])
def test_a_torn_file_is_refused_by_name(tmp_path: Path, name: str, kept: int):
    path = tmp_path / name
    state = nn.Linear(2, 2).state_dict()
    (save_file if path.suffix == ".safetensors" else torch.save)(state, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=f"{name} is .*torn"):
        load_state(path)


@pytest.mark.parametrize(
    "content", [{}, {"model": {}}, {"epoch": 3}, {"model": {"w": 1.0}}, {1: torch.ones(1)}]
)
def test_a_file_without_weights_is_refused(tmp_path: Path, content: dict[Any, Any]):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"model.pt holds no weights of a model"):
        load_state(tmp_path / "model.pt")


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    torch.save([torch.ones(1)], tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"model.pt holds a list, and no weights"):
        load_state(tmp_path / "model.pt")


def test_an_absent_file_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"nothing.pt: there is no such checkpoint"):
        load_state(tmp_path / "nothing.pt")


def test_everything_that_does_not_fit_is_reported_at_once_and_nothing_is_loaded():
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    with pytest.raises(CheckpointError) as caught:
        load_into(model, {"weight": torch.ones(3, 2), "w": torch.ones(1), "v": torch.ones(1)})
    assert str(caught.value).splitlines() == [
        "the weights do not fit the model",
        "missing: bias",
        "unexpected: w, v",
        "of another shape: weight (3, 2) for (2, 2)",
    ]
    assert torch.equal(model.weight, before)


def test_what_is_allowed_is_reported_and_the_rest_loaded():
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    state = {"0.weight": torch.tensor([[7.0]]), "0.bias": torch.ones(1), "old.w": torch.ones(1)}
    report = load_into(model, state, allow_missing=["1.*"], allow_unexpected=["old.*"])
    assert report == LoadReport(missing=("1.weight", "1.bias"), unexpected=("old.w",))
    assert model[0].weight.item() == 7.0
    with pytest.raises(CheckpointError, match=r"missing: 1.bias$"):
        load_into(model, state, allow_missing=["1.weight"], allow_unexpected=["old.*"])
