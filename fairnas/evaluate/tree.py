"""The prefix tree of some genomes: every node run once, depth first.

Genomes in the order of their text forms walk the tree depth first: two neighbours share the activations of their
common prefix, so at most L + 1 activations are held.
"""

import itertools
from collections.abc import Callable, Sequence

from torch import Tensor

from fairnas.space import Genome


def walk(
    ordered: Sequence[Genome],
    images: Tensor,
    run: Callable[[Genome, Tensor], Tensor],
    at_leaf: Callable[[Genome, Tensor], object],
) -> None:
    """Run every node of the tree once.

    Args:
        ordered: distinct genomes in the order of their text forms.
        images: what the stem gets.
        run: gives the output of a node, named by its prefix, for that of its parent; () is the stem.
        at_leaf: gets each genome and the output of its last layer.
    """
    if not ordered:
        return
    shared = [0, *(_common_prefix(a, b) for a, b in itertools.pairwise(ordered))]
    activations: list[Tensor] = [run((), images)]  # after the stem, after layer 0, after layer 1, ...
    for genome, known in zip(ordered, shared, strict=True):
        del activations[known + 1 :]
        for layer in range(known, len(genome)):
            activations.append(run(genome[: layer + 1], activations[-1]))
        at_leaf(genome, activations[-1])


def _common_prefix(a: Genome, b: Genome) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))
