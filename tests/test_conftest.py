"""The rules that conftest.py lays on all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIP = "import pytest\n\n\ndef test_it():\n    pytest.skip('not today')\n"
FILES = {
    "skips": SKIP,
    "is_marked": SKIP.replace("def", "@pytest.mark.may_skip(reason='needs a GPU')\ndef"),
    "needs_data": "def test_it(shared):\n    assert shared.is_dir()\n",
    "is_skipped_whole": "import pytest\n\npytest.skip('not now', allow_module_level=True)\n",
    "fails_as_expected": SKIP.replace("def", "@pytest.mark.xfail\ndef").replace("skip", "fail"),
}


def run(folder: Path, ci: str) -> str:
    """Return what pytest prints of FILES, under a copy of conftest.py."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder / "conftest.py")
    for name, text in FILES.items():
        (folder / f"test_{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = may_skip(reason): may be skipped\n")
    env = {**os.environ, "CI": ci, "MMVT_SHARED": "/absent", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    argv = [sys.executable, "-m", "pytest", "-rfExs", "--continue-on-collection-errors"]
    result = subprocess.run(
        argv, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode == 0) == (ci != "true"), result.stdout
    return result.stdout


def test_a_skip_is_a_skip_on_a_developers_machine(tmp_path: Path) -> None:
    output = run(tmp_path, ci="")
    assert "4 skipped, 1 xfailed" in output
    assert "no shared test data at /absent; set MMVT_SHARED" in output


@pytest.fixture(scope="module")
def in_ci(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what pytest prints with ``CI=true``."""
    return run(tmp_path_factory.mktemp("ci"), ci="true")


@pytest.mark.parametrize(
    "line",
    [
        "FAILED test_skips.py::test_it - with CI=true nothing may be skipped: Skipped: not today",
        "ERROR test_needs_data.py::test_it - with CI=true nothing may be skipped: Skipped: no",
        "ERROR test_is_skipped_whole.py - with CI=true nothing may be skipped: Skipped: not now",
    ],
)
def test_a_skip_is_a_failure_in_ci_that_gives_the_reason(in_ci: str, line: str) -> None:
    assert line in in_ci


def test_only_a_marked_test_is_skipped_in_ci(in_ci: str) -> None:
    assert "1 failed, 1 skipped, 1 xfailed, 2 errors" in in_ci
    assert "SKIPPED [1] test_is_marked.py" in in_ci
