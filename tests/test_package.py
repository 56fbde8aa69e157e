from __future__ import annotations

import subprocess
import sys

import pytest

import mmvt


def test_public_names_are_these_and_all_there() -> None:
    assert mmvt.__all__ == ["LoadedModel", "MMVTModel", "__version__", "load"]
    for name in mmvt.__all__:
        assert getattr(mmvt, name) is not None
    assert mmvt.__version__[0].isdigit()


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="module 'mmvt' has no attribute 'laod'"):
        mmvt.laod  # noqa: B018


def test_import_is_light() -> None:
    code = "import mmvt, sys; print(mmvt.__version__ and {'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
