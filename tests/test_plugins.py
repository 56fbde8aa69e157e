"""Tests of the table of plugins and of plugins in files of one's own."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mmvt.errors import PluginError
from mmvt.plugins import KINDS, load_plugins
from mmvt.processors.base import Aligner, Sampler

MINE = '''\
from mmvt.processors.sampling import WholeSampler


class MySampler(WholeSampler):
    """Takes the whole video."""
'''


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_there_is_a_registry_of_every_kind():
    plugins = load_plugins()
    assert list(plugins.registries) == list(KINDS)
    assert plugins.get("sampler", "WholeSampler").__name__ == "WholeSampler"
    with pytest.raises(PluginError, match="no meta processor named 'X'"):
        plugins.get("meta_processor", "X")


def test_a_base_class_tells_its_kind():
    plugins = load_plugins()
    assert plugins.kind_of(Aligner) == "aligner"
    assert plugins.kind_of(Sampler) == "sampler"
    assert plugins.kind_of(Path) is None
    assert plugins.kind_of(int | None) is None


def test_a_file_of_ones_own_adds_its_plugins_and_is_logged_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = write(tmp_path, "raise ValueError('logged first')")
    with caplog.at_level(logging.INFO), pytest.raises(PluginError):
        load_plugins([path])
    assert f"importing plugins from {path}" in caplog.messages

    path.write_text(MINE)
    plugins = load_plugins([path])
    assert plugins.get("sampler", "MySampler").__name__ == "MySampler"
    assert "MySampler" not in load_plugins().registries["sampler"]


def test_files_of_the_same_name_do_not_get_in_each_others_way(tmp_path: Path):
    one = write(tmp_path / "one", MINE)
    two = write(tmp_path / "two", MINE.replace("MySampler", "OtherSampler"))
    plugins = load_plugins([one, two])
    assert {"MySampler", "OtherSampler"} <= set(plugins.registries["sampler"].names())


def test_only_public_classes_that_a_file_defines_are_taken_and_each_once(tmp_path: Path):
    text = MINE + (
        "\n\nfrom abc import ABC\n\n\nclass _Hidden(WholeSampler):\n    pass\n\n\n"
        "class Base(WholeSampler, ABC):\n    pass\n\n\nAlias = MySampler\n"
    )
    assert load_plugins().add_file(write(tmp_path, text)) == ["MySampler"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_package", "fails to import: ModuleNotFoundError: No module named"),
        ("class :", "fails to import: SyntaxError"),
        ("x = 1", "defines no plugin"),
        (MINE.replace("MySampler", "WholeSampler"), "there is already a sampler named"),
        (
            "from mmvt.processors.base import Sampler\nclass Open(Sampler):\n    pass\n",
            "sampler Open does not define __call__",
        ),
        (
            "from mmvt.models.base import Head\nclass Open(Head):\n    pass\n",
            "head Open does not define forward, produces",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, message: str):
    path = write(tmp_path, text)
    with pytest.raises(PluginError, match=message) as caught:
        load_plugins([path])
    assert str(path) in str(caught.value)


def test_a_file_must_be_there_and_be_python(tmp_path: Path):
    with pytest.raises(PluginError, match=r"gone.py does not exist"):
        load_plugins([tmp_path / "gone.py"])
    with pytest.raises(PluginError, match="is not a Python file"):
        load_plugins([write(tmp_path, MINE, "mine.txt")])


def test_an_installed_package_adds_plugins_by_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path, MINE, "sampler_package.py")
    info = tmp_path / "sampler_package-1.0.dist-info"
    write(info, "Metadata-Version: 2.1\nName: sampler-package\nVersion: 1.0\n", "METADATA")
    write(info, "[mmvt.sampler]\nMySampler = sampler_package:MySampler\n", "entry_points.txt")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_plugins().get("sampler", "MySampler").__module__ == "sampler_package"
