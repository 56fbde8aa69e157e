"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of test data: $MMVT_SHARED, else ``shared`` beside the checkout.

    Without it a test is skipped, saying so; with ``CI=true`` its absence is a failure.
    """
    folder = Path(os.environ.get("MMVT_SHARED", ROOT.parent / "shared"))
    if folder.is_dir():
        return folder
    message = f"no shared test data at {folder}; set MMVT_SHARED"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
