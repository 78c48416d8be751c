"""Genomes cut into pieces for several workers, along their prefix tree, so that what genomes share stays shared.

In the order of their text forms, genomes with a common beginning stand together. A piece is a run of neighbours: all
that cutting costs is the common beginning of the two neighbours at each cut, which both sides compute.
"""

import itertools
from collections.abc import Callable, Sequence

from fairnas.evaluate.tree import common_prefix
from fairnas.space import Genome


def cut_along_tree(
    ordered: Sequence[Genome], parts: int, cost: Callable[[Genome], int]
) -> tuple[tuple[Genome, ...], ...]:
    """Cut genomes into at most `parts` pieces so that the dearest piece is as cheap as it can be.

    Args:
        ordered: distinct genomes in the order of their text forms.
        parts: of pieces, 1 or more.
        cost: of running one node of the tree, named by its prefix; () is the stem. Whole numbers.

    Returns:
        The pieces in order; none is empty.
    """
    assert parts >= 1, "somebody must do it"
    if not ordered:
        return ()
    whole, beyond = _costs(ordered, cost)
    low, high = max(whole), whole[0] + sum(beyond)  # the cheapest limit lies between these
    while low < high:  # fewer pieces suffice the dearer a piece may be, so the limit is found by halving
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
    """Per genome, the cost of its path, and of what it does not share with the genome before (0 for the first)."""
    whole, beyond = [], []
    for number, genome in enumerate(ordered):
        nodes = [cost(genome[:depth]) for depth in range(len(genome) + 1)]
        whole.append(sum(nodes))
        known = common_prefix(ordered[number - 1], genome) + 1 if number else len(nodes)
        beyond.append(sum(nodes[known:]))
    return whole, beyond


def _starts(whole: Sequence[int], beyond: Sequence[int], limit: int) -> list[int]:
    """Where pieces begin if each takes all genomes that it can within a limit: the fewest pieces there can be."""
    starts, spent = [0], whole[0]
    for number in range(1, len(whole)):
        spent += beyond[number]
        if spent > limit:
            starts.append(number)
            spent = whole[number]
    return starts
