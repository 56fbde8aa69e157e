from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mmvt.features.s3d.network import S3DNetwork
from tests.s3d_weights import named_weights, write_weights


@pytest.fixture(scope="session")
def network() -> S3DNetwork:
    return named_weights(S3DNetwork(), seed=1)


@pytest.fixture(scope="session")
def weights(network: S3DNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("s3d") / "s3d.pth", network)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
