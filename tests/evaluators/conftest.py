"""A trained-size-zero recipe over real files, shared by the tests of evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mmvt.config.recipe import Recipe
from tests.corpus import write_corpus, write_project


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread: tiny tensors are slower on more, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a task YAML over a small corpus: 4 videos of the split ``test``, 8 captions."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_project(folder, write_corpus(folder / "corpus"))
    return folder / "projects" / "task" / "tiny.yaml"


@pytest.fixture
def recipe(task: Path) -> Recipe:
    return Recipe.load(task)
