"""Tests of what is told about plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmvt.plugins import KINDS
from mmvt_cli.describe import main


def test_every_kind_is_listed_with_its_plugins(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == list(KINDS)
    assert lines[1::2] == [f"  {', '.join(sorted(names))}" for _, names in KINDS.values()]


def test_a_kind_is_listed_with_what_each_plugin_does(capsys: pytest.CaptureFixture[str]):
    assert main(["sampler"]) == 0
    assert (
        "WholeSampler\n"
        "  The whole video with its first caption, or with all of them; nothing is drawn.\n"
    ) in capsys.readouterr().out


def test_a_plugin_is_described_with_fields_types_defaults_and_docs(
    capsys: pytest.CaptureFixture[str],
):
    assert main(["meta_processor", "CaptionMetaProcessor"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("CaptionMetaProcessor (mmvt.processors.meta.captions)\n\nLists the ")
    assert "  split: 'train' | 'valid' | 'test'  (given by the run unless set)\n" in printed
    assert "  annotations: Path  (required)\n      CSV with the header " in printed
    assert "  per: 'video' | 'caption' | None  (default null)\n" in printed
    assert "Args:" not in printed


def test_plugins_of_a_file_are_described_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "mine.py"
    path.write_text(
        "from mmvt.processors.sampling import WholeSampler\n\n\n"
        'class MySampler(WholeSampler):\n    """Mine."""\n'
    )
    assert main(["sampler", "MySampler", "--plugins", str(path)]) == 0
    assert "Mine." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["alinger"], "error: no kind of plugin named 'alinger'; did you mean aligner? (there are"),
        (["aligner", "PairAlginer"], "error: no aligner named 'PairAlginer'; did you mean Pair"),
        (["aligner", "X"], "error: no aligner named 'X' (there are CaptioningAligner, "),
        (["aligner", "--plugins", "gone.py"], "error: the plugin file gone.py does not exist"),
    ],
)
def test_an_unknown_name_suggests_one(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(message)
