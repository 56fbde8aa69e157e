"""Groups of videos: random, near, and on disk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmvt.errors import CheckpointError
from mmvt.retrieval import groups as groups_module
from mmvt.retrieval.groups import (
    nearest,
    nearest_groups,
    random_groups,
    read_groups,
    write_groups,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def clusters(count: int, size: int, dim: int = 8) -> Tensor:
    """Return vectors of ``count`` clusters far apart: video v is in cluster v // size."""
    generator = torch.Generator().manual_seed(1)
    centres = 100 * torch.randn(count, dim, generator=generator)
    noise = 0.01 * torch.randn(count * size, dim, generator=generator)
    return centres.repeat_interleave(size, 0) + noise


@given(st.integers(2, 50), st.integers(1, 12), st.integers(2, 12), st.integers(0, 5))
def test_random_groups_hold_every_video_as_often_as_any_other_and_none_twice(
    videos: int, groups: int, size: int, seed: int
):
    size = min(size, videos)
    drawn = random_groups(videos, groups, size, rng(seed))
    assert drawn.shape == (groups, size)
    assert all(len(set(group)) == size for group in drawn.tolist())
    counts = Counter(drawn.ravel().tolist())
    assert max(counts.values()) - min(counts.get(video, 0) for video in range(videos)) <= 1


@given(st.integers(2, 40), st.integers(1, 60), st.integers(2, 8), st.integers(0, 5))
def test_near_groups_are_of_the_asked_size_however_few_videos_there_are(
    videos: int, groups: int, size: int, seed: int
):
    size = min(size, videos)
    vectors = torch.randn(videos, 3, generator=torch.Generator().manual_seed(seed))
    drawn = nearest_groups(vectors, groups, size, rng(seed), candidates=2 * size)
    assert drawn.shape == (groups, size)
    assert all(len(set(group)) == size for group in drawn.tolist())
    assert drawn.min() >= 0
    assert drawn.max() < videos


def test_a_group_comes_from_the_neighbourhood_of_one_video():
    drawn = nearest_groups(clusters(4, 6), 12, 3, rng(), candidates=6)
    assert all(len(set(group // 6)) == 1 for group in drawn)
    # centres are different: 12 of 24 cannot all be of one cluster
    assert len({int(group[0]) // 6 for group in drawn}) > 1


def test_all_candidates_are_drawn_as_often_as_one_another():
    vectors = clusters(1, 6)
    drawn = nearest_groups(vectors, 3000, 2, rng(), candidates=6)
    counts = np.bincount(drawn.ravel(), minlength=6)
    assert counts.sum() == 6000
    assert (abs(counts - 1000) < 5 * np.sqrt(1000)).all()


def test_groups_do_not_depend_on_the_order_in_which_neighbours_are_found():
    vectors = clusters(3, 5)
    moved = vectors + 0.001 * torch.randn(15, 8, generator=torch.Generator().manual_seed(2))
    one, two = (nearest_groups(v, 6, 3, rng(), candidates=5) for v in (vectors, moved))
    assert (one == two).all()


def test_another_generator_draws_other_groups():
    one, two = (nearest_groups(clusters(3, 5), 6, 3, rng(s), candidates=5) for s in (0, 1))
    assert (one != two).any()


@pytest.mark.parametrize("count", [1, 5, 59, 60])
def test_the_nearest_are_those_of_a_plain_search(count: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(groups_module, "_BLOCK", 130)  # blocks of 2 centres
    vectors = 50 + torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
    centres = np.array([7, 0, 59])
    found = nearest(vectors, centres, count)
    expected = torch.cdist(vectors.double(), vectors.double())[centres].argsort(1)[:, :count]
    assert (found == expected.numpy()).all()


def test_an_inverted_file_finds_what_an_exact_search_finds_in_clear_clusters():
    vectors = clusters(8, 10)
    centres = np.array([3, 41, 79])
    found = nearest(vectors, centres, 10, num_centroids=8)
    exact = nearest(vectors, centres, 10)
    assert [set(row) for row in found] == [set(row) for row in exact]


def test_cells_with_too_few_videos_fall_back_to_the_exact_search(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(groups_module, "_PROBES", 1)
    vectors = clusters(8, 10)
    found = nearest(vectors, np.array([3]), 30, num_centroids=8)
    assert set(found[0]) == set(nearest(vectors, np.array([3]), 30)[0])


def test_fewer_vectors_than_centroids_are_searched_exactly():
    vectors = clusters(2, 5)
    found = nearest(vectors, np.array([0, 9]), 4, num_centroids=11)
    assert (found == nearest(vectors, np.array([0, 9]), 4)).all()


def test_groups_are_read_as_they_were_written(tmp_path: Path):
    path = tmp_path / "retrieval" / "epoch_0002.npz"
    groups = rng().permuted(np.arange(24).reshape(4, 6), axis=1)[:, :3]
    write_groups(path, groups)
    assert (read_groups(path, (4, 3)) == groups).all()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_missing_file_names_itself_and_the_way_out(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"epoch_0002.npz: is missing; .* end of an epoch"):
        read_groups(tmp_path / "epoch_0002.npz", (4, 3))


def test_a_damaged_byte_is_noticed_or_changes_nothing(tmp_path: Path):
    path = tmp_path / "epoch_0002.npz"
    groups = np.arange(12).reshape(4, 3)
    write_groups(path, groups)
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            assert (read_groups(path, (4, 3)) == groups).all()
        except CheckpointError:
            refused += 1
    assert refused > len(whole) / 2


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_torn_file_is_refused(kept: int, tmp_path: Path):
    path = tmp_path / "epoch_0002.npz"
    write_groups(path, np.arange(12).reshape(4, 3))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="is damaged"):
        read_groups(path, (4, 3))


def test_other_groups_under_an_old_checksum_are_refused(tmp_path: Path):
    path = tmp_path / "epoch_0002.npz"
    write_groups(path, np.arange(12).reshape(4, 3))
    with np.load(path) as data:
        sha256 = data["sha256"]
    np.savez(path, groups=np.arange(12).reshape(4, 3)[::-1], sha256=sha256)
    with pytest.raises(CheckpointError, match="its checksum is wrong"):
        read_groups(path, (4, 3))


def test_groups_of_another_shape_are_refused_with_both_shapes(tmp_path: Path):
    path = tmp_path / "epoch_0002.npz"
    write_groups(path, np.arange(12).reshape(4, 3))
    with pytest.raises(CheckpointError, match="holds 4 groups of 3 videos, not 6 of 2; resume"):
        read_groups(path, (6, 2))
