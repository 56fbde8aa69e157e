"""A tiny VideoCLIP and batches for it, shared by the tests of models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mmvt.models.bert import SeparateTrunk
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.model import MultimodalModel

VIDEO_LEN, TEXT_LEN, DIM = 4, 7, 6
TINY = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
    "initializer_range": 0.5,  # far from zero, so that nothing is hidden by smallness
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread: tiny tensors are slower on more, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def trunk() -> SeparateTrunk:
    torch.manual_seed(0)
    trunk = SeparateTrunk(
        max_video_len=VIDEO_LEN, num_hidden_video_layers=1, pretrained=False, bert_config=TINY
    )
    return trunk.eval()


@pytest.fixture
def model(trunk: SeparateTrunk) -> MultimodalModel:
    torch.manual_seed(1)
    encoder = VideoTokenMLP(hidden_size=8, input_dim=DIM)
    return MultimodalModel({"video": encoder}, trunk, ContrastiveHead()).eval()


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """Three examples: 4, 2 and 0 real frames; 4, 1 and 0 words. 1 is [CLS] and 2 is [SEP]."""
    generator = torch.Generator().manual_seed(2)
    return {
        "vfeats": torch.randn(3, VIDEO_LEN, DIM, generator=generator),
        "vmasks": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool),
        "caps": torch.tensor([[1, 2, 5, 6, 7, 8, 2], [1, 2, 9, 2, 0, 0, 0], [1, 2, 2, 0, 0, 0, 0]]),
        "cmasks": torch.tensor(
            [[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0]], dtype=torch.bool
        ),
    }
