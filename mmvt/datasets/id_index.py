"""Finds the number of an id among millions, in a file that is mapped and not read.

The file holds two rows of 64-bit numbers: the sorted xxh3-64 hashes of all ids, and the number of
the id behind each. A hash is only a hint: the caller compares the id itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xxhash
from jaxtyping import Int64, UInt64


def hash_id(video_id: str) -> int:
    """Return the xxh3-64 of an id."""
    return xxhash.xxh3_64_intdigest(video_id.encode("utf-8", "surrogatepass"))


def build_index(hashes: UInt64[np.ndarray, " ids"]) -> UInt64[np.ndarray, "2 ids"]:
    """Return the index of ids whose hashes are given in order of their numbers."""
    order = np.argsort(hashes, kind="stable")
    return np.stack([hashes[order], order.astype(np.uint64)])


def indexed_hashes(index: UInt64[np.ndarray, "2 ids"]) -> UInt64[np.ndarray, " ids"]:
    """Return the hashes that an index was built of."""
    hashes = np.empty_like(index[0])
    hashes[index[1]] = index[0]
    return hashes


def candidates(index: UInt64[np.ndarray, "2 ids"], video_id: str) -> Iterator[int]:
    """Yield the numbers of the ids that have the hash of ``video_id``."""
    wanted = np.uint64(hash_id(video_id))
    position = int(np.searchsorted(index[0], wanted))
    while position < index.shape[1] and index[0, position] == wanted:
        yield int(index[1, position])
        position += 1


def first_candidates(
    index: UInt64[np.ndarray, "2 ids"], video_ids: Sequence[str]
) -> Int64[np.ndarray, " videos"]:
    """Return the first number of the hash of each id, -1 where there is none."""
    wanted = np.fromiter(map(hash_id, video_ids), np.uint64, len(video_ids))
    numbers = np.full(len(wanted), -1, np.int64)
    if index.shape[1]:
        order = np.argsort(wanted)  # neighbours are looked for in the same pages
        at = np.minimum(np.searchsorted(index[0], wanted[order]), index.shape[1] - 1)
        found = index[0][at] == wanted[order]
        numbers[order[found]] = index[1][at[found]]
    return numbers
