"""What tests of the golden folder share, and the account of what of it they read.

    pytest tests/golden --golden FOLDER

takes any folder of the form of the shared one: its ``MANIFEST.json`` says which cases there are,
and each case names its files. A run of all files here ends with a line a case, and fails for every
file that no test read.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file as load_tensors
from torch import Tensor

HERE = Path(__file__).parent
READ = "golden files read"
ABSENT = "no golden folder"


class Golden:
    """A folder of recorded cases; it notes which of its files were asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manifest: dict[str, Any] = json.loads((root / "MANIFEST.json").read_text())
        self.read: list[str] = []

    @property
    def seed(self) -> int:
        return int(self.manifest["seed"])

    @property
    def geometry(self) -> dict[str, int]:
        """max_video_len, max_len, text_slots and input_dim of the recorded models."""
        return dict(self.manifest["geometry"])

    @property
    def bert(self) -> str:
        """Folder of the configuration and the vocabulary of the recorded models."""
        return str(self.root / "bert_golden")

    def cases(self, pattern: str = "*") -> list[str]:
        return [name for name in self.manifest["cases"] if fnmatch(name, pattern)]

    def path(self, name: str) -> Path:
        """Return the path of a file, such as ``models/share/case.json``."""
        path = self.root / name
        assert path.is_file(), f"{path} is missing"
        self.read.append(path.resolve().relative_to(self.root.resolve()).as_posix())
        return path

    def json(self, name: str) -> Any:
        return json.loads(self.path(name).read_text())

    def tensors(self, name: str) -> dict[str, Tensor]:
        return load_tensors(self.path(name))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        return load_arrays(self.path(name))

    def model(self, case: str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
        """Return (case.json, weights, inputs and outputs) of a model's case."""
        recorded = self.json(f"models/{case}/case.json")
        state = self.tensors(f"models/{case}/{recorded['state']}")
        return recorded, state, self.tensors(f"models/{case}/io.safetensors")


def folder_of(config: pytest.Config) -> Path | None:
    from tests.conftest import shared_folder

    chosen = config.getoption("golden")
    folder = Path(chosen) if chosen else shared_folder() / "golden"
    return folder if (folder / "MANIFEST.json").is_file() else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test marked ``golden_cases(pattern, …)`` each case of the folder as ``case_name``."""
    marker = metafunc.definition.get_closest_marker("golden_cases")
    if marker is None:
        return
    folder = folder_of(metafunc.config)
    every = Golden(folder).cases() if folder else [ABSENT]
    chosen = [n for n in every if folder is None or any(fnmatch(n, p) for p in marker.args)]
    metafunc.parametrize("case_name", chosen)


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    """Return the folder of ``--golden``, else the shared one; without it a test is skipped."""
    folder = folder_of(request.config)
    if folder is None:
        assert not request.config.getoption("golden"), "--golden names no golden folder"
        pytest.skip("no golden folder; set MMVT_SHARED, or give --golden FOLDER")
    loaded = Golden(folder)
    request.config.stash[_LOADED] = loaded
    return loaded


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small are slower on more
    yield
    torch.set_num_threads(threads)


_LOADED = pytest.StashKey[Golden]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note in the report of a test which files were read up to its end."""
    report = yield
    loaded = item.config.stash.get(_LOADED, None)
    if loaded and loaded.read and call.when != "setup":
        report.user_properties.append((READ, list(dict.fromkeys(loaded.read))))
        loaded.read.clear()
    return report


@dataclass
class Account:
    """What a run did with a folder: a verdict a case, and the files that no case read."""

    lines: list[str]
    run: int
    skipped: int
    stray: int


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of all golden tests that left a file of the folder unread."""
    folder = folder_of(session.config)
    if folder is None or not _is_whole(session.config):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    account = _account(folder, _verdicts(reporter.stats))
    session.config.stash[_ACCOUNT] = account
    if account.skipped or account.stray:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    account = config.stash.get(_ACCOUNT, None)
    if account is not None:
        terminalreporter.section("golden cases")
        for line in account.lines:
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"cases run {account.run} / skipped {account.skipped}")


_ACCOUNT = pytest.StashKey[Account]()


def _account(folder: Path, verdicts: dict[str, list[bool]]) -> Account:
    cases = {name: case.get("files", []) for name, case in Golden(folder).manifest["cases"].items()}
    lines, skipped = [], 0
    for name, files in cases.items():
        unread = [file for file in files if file not in verdicts]
        failed = not all(passed for file in files for passed in verdicts.get(file, []))
        skipped += bool(unread)
        word = "SKIPPED" if unread else "FAILED" if failed else "passed"
        lines.append(f"{word:<8}{name}{f' (not read: {unread})' if unread else ''}")
    stray = sorted(_files(folder).difference(*cases.values()))
    lines += [f"UNOWNED {file}: no case of the manifest lists it" for file in stray]
    return Account(lines, len(cases) - skipped, skipped, len(stray))


def _is_whole(config: pytest.Config) -> bool:
    """Return whether all golden tests were asked for, in the process that reports."""
    asked = [str(Path(arg.split("::")[0]).resolve()) for arg in config.args]
    selects = config.getoption("keyword") or config.getoption("collectonly")
    return not hasattr(config, "workerinput") and not selects and str(HERE) in asked


def _verdicts(stats: dict[str, list[Any]]) -> dict[str, list[bool]]:
    """Return, for each file that was read, whether each test that read it passed."""
    found: dict[str, list[bool]] = defaultdict(list)
    for outcome in ("passed", "failed", "error"):
        for report in stats.get(outcome, []):
            for name, files in getattr(report, "user_properties", []):
                if name == READ:
                    for file in files:
                        found[file].append(outcome == "passed")
    return found


def _files(folder: Path) -> set[str]:
    outside = {"MANIFEST.json", "README.md"}
    every = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {f for f in every if f not in outside and not f.startswith("bert_golden/")}
