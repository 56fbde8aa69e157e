from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmvt_cli.report import main
from tests.report.conftest import random_predictions, write_evaluation


def test_the_page_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_evaluation(tmp_path / "eval", random_predictions())
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"written to {tmp_path / 'report.html'}\n"
    assert (tmp_path / "report.html").is_file()
    assert main([str(tmp_path), "--out", str(tmp_path / "other.html")]) == 0
    assert (tmp_path / "other.html").is_file()


@pytest.mark.faults
def test_a_folder_without_a_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(tmp_path)]) == 2
    assert "holds neither results" in capsys.readouterr().err


def test_help_has_an_example_and_imports_no_torch():
    root = Path(__file__).resolve().parents[2]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from mmvt_cli.report import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'matplotlib', 'tensorboard'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "mmvt report runs/pretrain/videoclip" in done.stdout
