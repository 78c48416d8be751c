"""Genomes cut into pieces for several workers along their prefix tree, so that shared prefixes stay together.

In the order of their text forms, genomes with a common prefix are neighbours. A piece is a run of neighbours, so the
only cost of a cut is the common prefix of the two genomes beside it, which both sides compute.
"""

import itertools
from collections.abc import Callable, Sequence

from fairnas.evaluate.tree import common_prefix
from fairnas.space import Genome


def cut_along_tree(
    ordered: Sequence[Genome], parts: int, cost: Callable[[Genome], int]
) -> tuple[tuple[Genome, ...], ...]:
    """Cut genomes into at most `parts` pieces so that the most expensive piece is as cheap as possible.

    Args:
        ordered: distinct genomes in the order of their text forms.
        parts: largest number of pieces, 1 or more.
        cost: cost of one node of the tree, given its prefix; () is the stem. Whole numbers.

    Returns:
        The pieces in order; none is empty.
    """
    assert parts >= 1, "somebody must do it"
    if not ordered:
        return ()
    whole, beyond = _costs(ordered, cost)
    low, high = max(whole), whole[0] + sum(beyond)  # the cheapest limit lies between these
    while low < high:  # bisection: a larger limit never needs more pieces
        middle = (low + high) // 2
        if len(_starts(whole, beyond, middle)) <= parts:
            high = middle
        else:
            low = middle + 1
    bounds = [*_starts(whole, beyond, low), len(ordered)]
    return tuple(tuple(ordered[first:last]) for first, last in itertools.pairwise(bounds))


def piece_cost(piece: Sequence[Genome], cost: Callable[[Genome], int]) -> int:
    """Cost of all nodes of the tree of some genomes, given in order."""
    whole, beyond = _costs(piece, cost)
    return whole[0] + sum(beyond)


def _costs(ordered: Sequence[Genome], cost: Callable[[Genome], int]) -> tuple[list[int], list[int]]:
    """Cost of each genome's path, and of its part that is not shared with the previous genome (0 for the first)."""
    whole, beyond = [], []
    for number, genome in enumerate(ordered):
        nodes = [cost(genome[:depth]) for depth in range(len(genome) + 1)]
        whole.append(sum(nodes))
        known = common_prefix(ordered[number - 1], genome) + 1 if number else len(nodes)
        beyond.append(sum(nodes[known:]))
    return whole, beyond


def _starts(whole: Sequence[int], beyond: Sequence[int], limit: int) -> list[int]:
    """Starts of the pieces if each takes as many genomes as a limit allows, which gives the fewest pieces."""
    starts, spent = [0], whole[0]
    for number in range(1, len(whole)):
        spent += beyond[number]
        if spent > limit:
            starts.append(number)
            spent = whole[number]
    return starts
