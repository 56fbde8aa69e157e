"""The pool of video vectors, alone and shared by two workers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from mmvt.errors import DataError
from mmvt.retrieval.pool import VectorPool


def test_a_video_is_the_mean_of_its_clips_and_their_texts():
    pool = VectorPool(3)
    video = torch.tensor([[1.0, 0], [3, 0], [10, 4], [20, 4]])
    text = torch.tensor([[0.0, 2], [0, 6], [0, 0], [0, 8]])
    pool.add(video, text, 2)
    pool.add(torch.ones(2, 2), torch.ones(2, 2), 1)
    assert pool.gather().tolist() == [[1, 2], [7.5, 4], [1, 1]]


def test_halves_are_summed_as_floats():
    pool = VectorPool(1)
    pool.add(torch.full((2, 1), 60000.0).half(), torch.full((2, 1), 60000.0).half(), 1)
    assert pool.gather().tolist() == [[60000.0]]
    assert pool.gather().dtype == torch.float32


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_shares_are_all_videos_once_and_differ_by_one_at_most(workers: int):
    shares = [VectorPool(7, rank, workers).share.tolist() for rank in range(workers)]
    assert [video for share in shares for video in share] == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_vector_that_is_no_number_is_an_error(wrong: float):
    pool = VectorPool(1)
    pool.add(torch.tensor([[wrong]]), torch.ones(1, 1), 1)
    with pytest.raises(DataError, match="vectors that are not finite"):
        pool.gather()


def vectors(videos: list[int]) -> Tensor:
    return torch.tensor([[float(video), 1.0] for video in videos])


def work(rank: int, folder: Path) -> None:
    """Run one of two workers, and write down what it gathered."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    pool = VectorPool(5, rank, 2)
    own = vectors(pool.share.tolist())
    pool.add(own, own, len(own))
    torch.save(pool.gather(), folder / f"worker{rank}.pt")
    dist.destroy_process_group()


def test_two_workers_gather_all_vectors_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # works without a network too
    torch.multiprocessing.spawn(work, (tmp_path,), nprocs=2)
    for rank in (0, 1):
        gathered = torch.load(tmp_path / f"worker{rank}.pt", weights_only=True)
        assert torch.equal(gathered, vectors([0, 1, 2, 3, 4]))
