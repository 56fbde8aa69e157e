"""Tests of running processes side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmvt_cli.processes import run_together

ROOT = Path(__file__).resolve().parents[2]
SHELL = '$(touch x1); rm -rf "*" | touch x2 & > x3 \'`touch x4`'
KILL_ME = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
JOB = """
import pathlib, signal, sys, time
def note(number, frame):
    with open(sys.argv[1], "a") as file:
        file.write(f"{number};")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, note)
pathlib.Path(sys.argv[1] + ".ready").touch()
while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)
time.sleep(0.2)
"""
LAUNCHER = f"""
import os, signal, sys
from mmvt_cli.processes import run_together
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs that a shell runs aside ignore it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and those under nohup this
codes = run_together([[sys.executable, "-c", {JOB!r}, name] for name in sys.argv[1:]], os.environ)
assert len(set(codes)) == 1, codes
sys.exit(codes[0])
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_exit_codes_are_those_of_the_commands():
    ended = run_together([python("raise SystemExit(7)"), python(""), python(KILL_ME)], os.environ)
    assert ended == [7, 0, 128 + signal.SIGKILL]


def test_commands_of_a_step_run_side_by_side(tmp_path: Path):
    meet = (
        "import pathlib, sys, time\nmine, other = map(pathlib.Path, sys.argv[1:])\n"
        "mine.touch()\nwhile not other.exists(): time.sleep(0.01)\n"
    )
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert run_together([[*python(meet), a, b], [*python(meet), b, a]], os.environ) == [
        0,
        0,
    ]


def test_words_reach_the_process_as_they_are_and_no_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    code = "import pathlib, sys; pathlib.Path('words').write_text(sys.argv[1])"
    assert run_together([[*python(code), SHELL]], os.environ) == [0]
    assert Path("words").read_text() == SHELL
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


def test_the_environment_is_the_one_given():
    code = "import os, sys; sys.exit(int(os.environ['MMVT_TEST']))"
    assert run_together([python(code)], {**os.environ, "MMVT_TEST": "5"}) == [5]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_every_process_once_and_ends_the_launcher(
    tmp_path: Path, number: signal.Signals
):
    script = tmp_path / "launcher.py"
    script.write_text(LAUNCHER)
    names = [str(tmp_path / name) for name in "ab"]
    launcher = subprocess.Popen(
        [sys.executable, str(script), *names], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    for name in names:
        while not Path(f"{name}.ready").exists():
            assert launcher.poll() is None
            time.sleep(0.01)
    launcher.send_signal(number)
    # the first job ends well after the signal, the second with a code of its own
    assert launcher.wait(timeout=180) == 128 + number
    assert [Path(name).read_text() for name in names] == [f"{int(number)};"] * 2


def test_signals_are_handled_as_before_when_all_is_done():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    run_together([python("")], os.environ)
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before
