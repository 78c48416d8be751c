"""Genomes cut for several workers: nothing lost, in order, and the most expensive piece as cheap as possible."""

import itertools
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.evaluate import cut_along_tree
from fairnas.evaluate.partition import piece_cost
from fairnas.space import Genome, get_space

genomes = st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=1, max_size=9, unique=True).map(sorted)


def node_price(prefix: Genome) -> int:
    """A price that differs from node to node."""
    return 5 + sum((depth + 1) * (choice + 1) for depth, choice in enumerate(prefix))


def tree_cost(piece: list[Genome]) -> int:
    """The plain way: every distinct prefix once."""
    return sum(node_price(prefix) for prefix in {genome[:depth] for genome in piece for depth in range(5)})


@given(genomes, st.integers(1, 10))
def test_pieces_hold_every_genome_once_in_order(ordered, parts):
    pieces = cut_along_tree(ordered, parts, node_price)
    assert list(itertools.chain(*pieces)) == ordered
    assert 1 <= len(pieces) <= parts
    assert all(pieces)


@given(genomes)
def test_the_cost_of_a_piece_is_that_of_its_distinct_nodes(ordered):
    assert piece_cost(ordered, node_price) == tree_cost(ordered)


@given(genomes, st.integers(1, 5))
def test_no_other_cut_has_a_cheaper_dearest_piece(ordered, parts):
    best = inf
    for count in range(min(parts, len(ordered))):
        for cuts in itertools.combinations(range(1, len(ordered)), count):
            bounds = [0, *cuts, len(ordered)]
            best = min(best, max(tree_cost(ordered[a:b]) for a, b in itertools.pairwise(bounds)))
    assert max(tree_cost(list(piece)) for piece in cut_along_tree(ordered, parts, node_price)) == best


def test_nothing_is_cut_into_nothing():
    assert cut_along_tree([], 3, node_price) == ()


@pytest.mark.parametrize("parts", [2, 8])
def test_sharing_survives_the_cut(parts):
    """All networks of a small space: what the pieces compute together is little more than the tree."""
    space = get_space("nas_bench_macro")
    ordered = sorted({space.canonical(genome) for genome in space.enumerate()})
    pieces = cut_along_tree(ordered, parts, lambda prefix: 1)
    together = sum(piece_cost(piece, lambda prefix: 1) for piece in pieces)
    assert len(pieces) == parts
    assert together <= piece_cost(ordered, lambda prefix: 1) + (parts - 1) * (space.depth + 1)
    assert max(piece_cost(piece, lambda prefix: 1) for piece in pieces) < 1.02 * together / parts
