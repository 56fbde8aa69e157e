"""Random generators keyed by what is drawn, never by how many draws came before."""

from __future__ import annotations

import numpy as np


def generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator of one example: a pure function of its three keys.

    A counter-based generator (Philox) makes a draw independent of batch size, worker count and
    of where a run was resumed.

    Args:
        seed: the run's seed.
        epoch: 1-based epoch.
        index: position of the example in its dataset.
    """
    key = np.array([seed & 0xFFFFFFFFFFFFFFFF, 0], dtype=np.uint64)
    counter = np.array([0, 0, index, epoch], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
