"""Genomes that compute the same network."""

import collections
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.space import (
    CATALOG,
    Genome,
    Identity,
    InvertedResidual,
    Layer,
    SearchSpace,
    format_genome,
    get_space,
    parse_genome,
)


def network_of(space: SearchSpace, genome: Genome) -> tuple:
    """Function that a genome computes, without its numbering: its blocks in order, without identities."""
    chosen = [(layer, layer.choices[choice]) for layer, choice in zip(space.layers, genome, strict=True)]
    return tuple(
        (layer.in_channels, layer.out_channels, layer.stride, block)
        for layer, block in chosen
        if not (isinstance(block, Identity) and layer.keeps_shape)
    )


@pytest.mark.slow
@given(st.data())
def test_two_genomes_have_one_canonical_genome_if_and_only_if_they_are_one_network(chain_spaces, data) -> None:
    space = data.draw(chain_spaces)
    genomes = st.tuples(*(st.integers(0, count - 1) for count in space.choices))
    first = data.draw(genomes)
    second = data.draw(st.permutations(first).map(tuple).filter(lambda g: _fits(space, g)) | genomes)
    same = space.canonical(first) == space.canonical(second)
    assert same == (network_of(space, first) == network_of(space, second))


def _fits(space: SearchSpace, genome: Genome) -> bool:
    return all(choice < count for choice, count in zip(genome, space.choices, strict=True))


@pytest.mark.slow
@given(st.data())
def test_canonical_is_a_genome_of_the_same_network_and_stays(chain_spaces, data) -> None:
    space = data.draw(chain_spaces)
    genome = tuple(data.draw(st.integers(0, count - 1)) for count in space.choices)
    canonical = space.canonical(genome)
    assert space.validate(canonical) == canonical
    assert network_of(space, canonical) == network_of(space, genome)
    assert space.canonical(canonical) == canonical


def test_identities_do_not_move_between_layers_that_offer_different_blocks() -> None:
    k3, k5, identity = InvertedResidual(3, 1), InvertedResidual(5, 1), Identity()
    offers = ((identity, k3), (identity, k3), (k3, identity), (k3, k5, identity), (k3, k5, identity))
    layers = tuple(Layer(4, 4, 1, choices) for choices in offers)
    space = dataclasses.replace(get_space("digits"), stem_channels=4, layers=layers)
    for genome in space.enumerate():
        canonical = space.canonical(genome)
        assert network_of(space, canonical) == network_of(space, genome)
    assert space.canonical((0, 1, 1, 2, 0)) == (1, 0, 1, 0, 2)


def test_without_identity_every_genome_is_canonical() -> None:
    for name, space in CATALOG.items():
        if name not in ("nas_bench_macro", "proxyless_skip", "fbnet"):
            genome = tuple(number % count for number, count in enumerate(space.choices))
            assert space.canonical(genome) == genome


def test_nas_bench_macro_holds_3969_networks() -> None:
    space = get_space("nas_bench_macro")
    canonical = collections.Counter(space.canonical(genome) for genome in space.enumerate())
    assert len(canonical) == 3969
    assert 6561 - 3969 == 2592
    # layers 0, 2 and 5 change the shape, where identity is a convolution and stays in its place
    assert space.canonical((0, 0, 0, 0, 1, 0, 0, 2)) == (0, 0, 0, 1, 0, 0, 2, 0)


def test_the_2592_twins_have_the_accuracies_of_their_canonical_genome(macro_truth) -> None:
    space = get_space("nas_bench_macro")
    twins = 0
    for text, row in macro_truth.items():
        canonical = format_genome(space.canonical(parse_genome(text)))
        if canonical != text:
            twins += 1
            assert row == macro_truth[canonical], (text, canonical)
    assert twins == 2592
    distinct = {(tuple(row["test_acc"]), row["flops"]) for row in macro_truth.values()}
    assert len(distinct) == 3969
