"""Prefix tree of some genomes, run depth first.

In the order of their text forms, neighbours share the activations of their common prefix. A node with children that
have not run yet is a *branch*. If every branch is kept until its last child, each node runs once, and at most one
activation per layer is held. If fewer are kept (`activation_checkpointing.py`), a branch is recomputed from the nearest
kept activation above it.
"""

import itertools
from collections.abc import Callable, Sequence

from torch import Tensor

from fairnas.space import Genome

Kept = Sequence[frozenset[int]]
"""Per genome, the depths (0: after the stem, d: after d layers) whose activations on its path are held until the next
genome's turn.
"""


def walk(
    ordered: Sequence[Genome],
    images: Tensor,
    run: Callable[[Genome, Tensor], Tensor],
    at_leaf: Callable[[Genome, Tensor], object],
    kept: Kept | None = None,
) -> None:
    """Run the tree.

    Args:
        ordered: distinct genomes in the order of their text forms.
        images: input of the stem.
        run: computes the output of a node, given its prefix and the output of its parent; () is the stem.
        at_leaf: receives each genome and the output of its last layer.
        kept: activations to hold; default: every branch, so that every node runs once.
    """
    shared = shared_depths(ordered)
    held: dict[int, Tensor] = {}
    for genome, known, keep in zip(ordered, shared, branches(shared) if kept is None else kept, strict=True):
        start = max((depth for depth in held if depth <= known), default=-1)
        features = held[start] if start >= 0 else images
        held = {depth: held[depth] for depth in held if depth <= start and depth in keep}
        for depth in range(start + 1, len(genome) + 1):
            features = run(genome[:depth], features)
            if depth in keep:
                held[depth] = features
        at_leaf(genome, features)


def shared_depths(ordered: Sequence[Genome]) -> list[int]:
    """Number of layers that each genome shares with the previous one; -1 for the first (not even the stem)."""
    return [-1, *(common_prefix(a, b) for a, b in itertools.pairwise(ordered))] if ordered else []


def branches(shared: Sequence[int]) -> list[frozenset[int]]:
    """Depths on each genome's path at which a later genome branches off, given the shared depths of neighbours."""
    kept: list[frozenset[int]] = []
    coming: frozenset[int] = frozenset()
    for known in reversed(shared):
        kept.append(coming)
        coming = frozenset(depth for depth in coming if depth < known) | {known}
    return kept[::-1]


def common_prefix(a: Genome, b: Genome) -> int:
    """Length of the common prefix of two genomes, in layers."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))
