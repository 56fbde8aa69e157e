"""Groups of videos that are trained on together: drawn at random, or near to one another.

Source: VideoCLIP (arXiv 2109.14084) §3.3.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmvt.errors import CheckpointError, require_package
from mmvt.files import atomic_write

_BLOCK = 2**25  # distances held at once
_PROBES = 16  # cells of an inverted file that are searched


def random_groups(
    videos: int, groups: int, size: int, rng: np.random.Generator
) -> Int[np.ndarray, "groups size"]:
    """Return groups of ``size`` videos; all videos once before any comes again.

    Args:
        videos: how many there are, ``size`` or more.
        groups: how many to draw.
        size: videos of each group, all of them different.
        rng: the only source of chance.
    """
    return np.resize(rng.permutation(videos), (groups, size))


def nearest_groups(
    vectors: Float[Tensor, "videos dim"],
    groups: int,
    size: int,
    rng: np.random.Generator,
    *,
    candidates: int,
    num_centroids: int | None = None,
) -> Int[np.ndarray, "groups size"]:
    """Return groups of ``size`` videos, drawn from those nearest to a random one each.

    Args:
        vectors: of all videos, ``size`` or more.
        groups: how many to draw; centres are different as long as there are enough videos.
        size: videos of each group, all of them different.
        rng: the only source of chance.
        candidates: nearest videos of which a group is drawn, the centre among them.
        num_centroids: search an inverted file of that many cells; null = search exactly.
    """
    centres = np.resize(rng.permutation(len(vectors)), groups)
    near = nearest(vectors, centres, min(candidates, len(vectors)), num_centroids)
    # in the order of their numbers: a draw that does not hang on which of two is nearer
    near.sort(axis=1)
    return rng.permuted(near, axis=1)[:, :size]


def nearest(
    vectors: Float[Tensor, "videos dim"],
    centres: Int[np.ndarray, " centres"],
    count: int,
    num_centroids: int | None = None,
) -> Int[np.ndarray, "centres count"]:
    """Return the ``count`` videos nearest to each centre, by Euclidean distance.

    Args:
        vectors: of all videos.
        centres: numbers of the videos to search around.
        count: at most the number of videos.
        num_centroids: search a FAISS inverted file of that many cells; null, or with fewer videos
            than that: compare with all.

    Raises:
        MissingPackageError: FAISS is asked for, but not installed.
    """
    if num_centroids is None or len(vectors) < num_centroids:
        return _nearest_of_all(vectors, centres, count)
    require_package("faiss")
    import faiss

    array = vectors.cpu().numpy()
    dim = array.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, num_centroids)
    index.cp.min_points_per_centroid = 1
    index.nprobe = _PROBES
    index.train(array)
    index.add(array)
    _, found = index.search(array[centres], count)
    short = (found < 0).any(axis=1)  # the cells that were searched hold too few
    found[short] = _nearest_of_all(vectors, centres[short], count)
    return found


def _nearest_of_all(
    vectors: Float[Tensor, "videos dim"], centres: Int[np.ndarray, " centres"], count: int
) -> Int[np.ndarray, "centres count"]:
    centred = vectors - vectors.mean(0)  # distances stay, and lose fewer digits
    norms = centred.square().sum(1)
    found = np.zeros((len(centres), count), np.int64)
    block = max(1, _BLOCK // len(vectors))
    for first in range(0, len(centres), block):
        rows = slice(first, first + block)
        queries = centred[torch.from_numpy(centres[rows]).to(centred.device)]
        distances = torch.addmm(norms, queries, centred.T, alpha=-2)
        found[rows] = distances.topk(count, largest=False).indices.cpu().numpy()
    return found


def write_groups(path: Path, groups: Int[np.ndarray, "groups size"]) -> None:
    """Write groups, and a checksum of them."""
    with atomic_write(path) as file:
        np.savez(file, groups=groups, sha256=np.array(_digest(groups)))


def read_groups(path: Path, shape: tuple[int, int]) -> Int[np.ndarray, "groups size"]:
    """Return groups that were written.

    Args:
        path: the file.
        shape: number of groups, and of videos in each.

    Raises:
        CheckpointError: the file is missing or damaged, or the groups are of another shape.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            groups, sha256 = data["groups"], str(data["sha256"])
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: {_LOST.format('is missing')}") from error
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: {_LOST.format('is damaged')} ({error})") from error
    if _digest(groups) != sha256:
        raise CheckpointError(f"{path}: {_LOST.format('is damaged')} (its checksum is wrong)")
    if groups.shape != shape:
        raise CheckpointError(
            f"{path}: holds {groups.shape[0]} groups of {groups.shape[1]} videos, not {shape[0]} "
            f"of {shape[1]}; resume with the batch size, workers and data that the epoch began with"
        )
    return groups


_LOST = (
    "{}; it holds the groups of videos that the epoch was begun with, and they cannot be made "
    "again of later weights. Resume from a checkpoint of the end of an epoch"
)


def _digest(groups: Int[np.ndarray, "groups size"]) -> str:
    return hashlib.sha256(np.ascontiguousarray(groups, "<i8").tobytes()).hexdigest()
