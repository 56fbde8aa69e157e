"""Tests of the command ``mmvt`` and of what all commands share."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmvt.errors import ConfigError
from mmvt_cli.__main__ import COMMANDS, main
from mmvt_cli._cli import choose_level, cli_errors

ROOT = Path(__file__).resolve().parents[2]
HELP = """
import contextlib, sys
from mmvt_cli.__main__ import main
try:
    code = main(sys.argv[1:])
except SystemExit as error:
    code = error.code
assert not {"torch", "fairseq", "transformers"} & set(sys.modules), "imports something heavy"
sys.exit(code)
"""


def run(*words: str, **options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, **options
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_is_quick(name: str):
    done = run("-c", HELP, *name.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout
    assert f"mmvt {name}" in done.stdout or "locallaunch.py" in done.stdout or name == "setup"


@pytest.mark.parametrize("name", ["launch", "train", "describe", "check", "init"])
def test_a_command_runs_as_a_module_too(name: str):
    done = run("-m", f"mmvt_cli.{name}", "--help")
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_the_usage_lists_every_command(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name}  " in printed for name in COMMANDS)
    assert "examples:" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lanch"], "error: mmvt has no subcommand 'lanch'; did you mean launch?"),
        (["xyz", "data"], "error: mmvt has no subcommand 'xyz' (there are setup, "),
    ],
)
def test_an_unknown_command_suggests_one(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(message)


def test_every_line_of_an_error_is_told_as_one_and_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
):
    @cli_errors
    def fails(argv: list[str] | None = None) -> int:
        raise ConfigError(["a.yaml:1: x", "a.yaml:2: y"])

    assert fails([]) == 2
    assert capsys.readouterr().err == "error: a.yaml:1: x\nerror: a.yaml:2: y\n"


def test_an_interrupted_command_ends_as_the_shell_expects():
    @cli_errors
    def waits(argv: list[str] | None = None) -> int:
        raise KeyboardInterrupt

    assert waits([]) == 130


def test_an_unknown_log_level_is_no_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setenv("MMVT_LOGLEVEL", "loud")

    @cli_errors
    def works(argv: list[str] | None = None) -> int:
        return 0

    assert works([]) == 0


@pytest.mark.parametrize(
    ("rank", "name", "level"),
    [
        ("0", None, logging.INFO),
        ("0", "error", logging.ERROR),
        ("1", None, logging.WARNING),
        ("1", "info", logging.WARNING),
        ("1", "error", logging.ERROR),
        ("1", "debug", logging.DEBUG),
    ],
)
def test_the_first_worker_logs_what_is_asked_for_and_the_others_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, rank: str, name: str | None, level: int
):
    root = logging.getLogger()
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(root, "level", logging.INFO)
    choose_level(name)
    assert root.level == level


def test_a_fault_of_ours_is_told_as_python_would(capsys: pytest.CaptureFixture[str]):
    @cli_errors
    def fails(argv: list[str] | None = None) -> int:
        raise ZeroDivisionError("of ours")

    assert fails([]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last):\n")
    assert printed.endswith("ZeroDivisionError: of ours\n")
