"""Fixtures and rules shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# no test needs the network, and none may come to need it
os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", metavar="FOLDER", help="recorded cases for tests/golden")


def shared_folder() -> Path:
    return Path(os.environ.get("MMVT_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of test data: $MMVT_SHARED, else ``shared`` beside the checkout.

    Without it a test is skipped, saying so; with ``CI=true`` its absence is a failure.
    """
    folder = shared_folder()
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder}; set MMVT_SHARED")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``CI=true``, fail a test that was skipped, unless it is marked ``may_skip``."""
    report = yield
    if item.get_closest_marker("may_skip") is None:
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With ``CI=true``, fail a file that was skipped as a whole."""
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    expected_failure = hasattr(report, "wasxfail")
    if os.environ.get("CI") == "true" and report.skipped and not expected_failure:
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"with CI=true nothing may be skipped: {reason}"
