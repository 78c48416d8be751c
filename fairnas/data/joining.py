"""Connected components: things that belong together, directly or through others, as shared numbers."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def components(count: int, pairs: np.ndarray) -> np.ndarray:
    """Number (count,) for each of several things, shared by those that pairs (P, 2) connect."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def joined(count: int, kept: Sequence[np.ndarray]) -> np.ndarray:
    """Number (count,) for each of several things, shared by those with an equal entry in any of several arrays."""
    pairs = [np.empty((0, 2), np.int64)]
    for ids in kept:
        _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
        pairs.append(np.stack([np.arange(count), first[inverse]], axis=1))
    return components(count, np.concatenate(pairs))
