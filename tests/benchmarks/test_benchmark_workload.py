"""Workload of the benchmarks: populations, counts, images."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.workload import (
    PROXYLESS_32,
    channels_last,
    distinct_networks,
    evolved_population,
    labelled_images,
    random_population,
    representative,
    settled_supernet,
    sharing,
    space_of,
)
from fairnas.errors import UnknownNameError
from fairnas.nets import cost, cost_table
from fairnas.randomness import generator
from fairnas.space import Identity, InvertedResidual, Stage, Stem, chain_space, distance, get_space

TINY = chain_space("tiny", image_size=9, stem=Stem(4, stride=2), stages=(Stage(4, 2), Stage(6, 1, 2)), head=8)
MACRO = get_space("nas_bench_macro")


def test_the_space_of_the_step_is_as_deep_and_wide_as_the_papers():
    paper = get_space("proxyless")
    assert PROXYLESS_32.choices == paper.choices == (6,) * 19
    assert [layer.out_channels for layer in PROXYLESS_32.layers] == [layer.out_channels for layer in paper.layers]
    assert (PROXYLESS_32.image_size, PROXYLESS_32.reduction) == (32, 8)
    assert space_of("proxyless_32") is PROXYLESS_32
    assert space_of("digits") is get_space("digits")
    with pytest.raises(UnknownNameError, match="digitz"):
        space_of("digitz")


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(0, 1000))
def test_an_evolved_population_is_distinct_children_one_or_two_layers_from_a_parent(seed):
    children = evolved_population(PROXYLESS_32, 64, seed)
    assert len(set(children)) == len(children) == 64
    assert all(PROXYLESS_32.validate(child) == child for child in children)
    rng = generator(seed, "evolved population")
    parents = [PROXYLESS_32.sample(rng) for _ in range(8)]
    assert {min(distance(child, parent) for parent in parents) for child in children} == {1, 2}
    nearest = [sorted(parents, key=partial(distance, child))[0] for child in children]
    assert set(nearest) == set(parents)


def test_a_space_with_too_few_genomes_gives_a_smaller_evolved_population():
    two = chain_space("two", image_size=8, stem=Stem(4), stages=(Stage(4, 1),), head=8, kernels=(3,))
    assert sorted(evolved_population(two, 64, 0)) == [(0,), (1,)]


def test_populations_depend_on_the_seed_only():
    assert random_population(TINY, 5, 1) == random_population(TINY, 5, 1) != random_population(TINY, 5, 2)
    assert evolved_population(PROXYLESS_32, 9, 1) == evolved_population(PROXYLESS_32, 9, 1)


def test_the_distinct_networks_of_nas_bench_macro():
    networks = distinct_networks(MACRO)
    assert len(networks) == len(set(networks)) == 3969
    part = distinct_networks(MACRO, (1, 1))
    assert len(part) == 441
    assert set(part) <= set(networks)
    assert {genome[:2] for genome in part} == {(1, 1)}


def test_the_part_of_nas_bench_macro_shares_as_much_as_the_whole():
    part, whole = (sharing(MACRO, distinct_networks(MACRO, prefix)) for prefix in ((1, 1), ()))
    assert part.layer_factor == pytest.approx(whole.layer_factor, rel=0.02)
    assert part.madds_factor == pytest.approx(whole.madds_factor, rel=0.03)


def test_sharing_counts_nodes_stem_once_and_every_head():
    genomes = [(0, 0, 0), (0, 0, 1), (0, 2, 1), (0, 2, 1)]
    table = cost_table(TINY)
    found = sharing(TINY, genomes)
    assert (found.layer_runs, found.layer_runs_one_by_one) == (1 + 2 + 3, 12)
    head = 6 * 8 * 3 * 3 + 8 * 1000  # 9 pixels become 5, 5, 3
    blocks = [(0, 0), (1, 0), (1, 2), (2, 0), (2, 1), (2, 1)]
    in_tree = sum(table.blocks[layer][choice].madds for layer, choice in blocks)
    assert found.madds == table.fixed.madds - head + in_tree + 3 * head
    assert found.madds_one_by_one == sum(cost(TINY, genome).madds for genome in genomes)
    assert found.layer_factor == 2.0
    assert found.madds_factor == found.madds_one_by_one / found.madds


def test_sharing_knows_that_identities_commute():
    skip = chain_space(
        "skip",
        image_size=8,
        stem=Stem(4),
        stages=(Stage(4, 2),),
        choices=(InvertedResidual(3, 3), Identity()),
        head=8,
    )
    assert sharing(skip, [(0, 1), (1, 0)]).layer_runs == 2


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_a_representative_sample_has_the_mean_cost_of_all(size, count):
    genomes = random_population(TINY, size, seed=size)
    sample = representative(TINY, genomes, count)
    assert len(sample) == min(count, size)
    remaining = list(genomes)
    for genome in sample:
        remaining.remove(genome)  # drawn without replacement
    if count >= size:
        assert sorted(sample) == sorted(genomes)


def test_a_representative_sample_of_nas_bench_macro_costs_what_all_cost():
    networks = distinct_networks(MACRO)
    madds = {genome: cost(MACRO, genome).madds for genome in networks}
    mean = sum(madds.values()) / len(madds)
    sample = representative(MACRO, networks, 16)
    assert sum(madds[genome] for genome in sample) / 16 == pytest.approx(mean, rel=0.02)


def test_images_are_nchw_and_differ():
    images, labels = labelled_images(TINY, 6, seed=0)
    assert images.shape == (6, 3, 9, 9)
    assert images.is_contiguous()
    assert labels.shape == (6,)
    assert channels_last(images).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(channels_last(images), images)
    assert (images[0] - images[1]).abs().mean() > 0.1


def test_a_settled_supernet_has_the_statistics_of_its_images():
    images, _ = labelled_images(TINY, 32, seed=0)
    supernet = settled_supernet(TINY, images, seed=0)
    norms = [part for part in supernet.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    convolution = next(part for part in supernet.modules() if isinstance(part, nn.Conv2d))
    with torch.no_grad():
        convolved = convolution(images)
    torch.testing.assert_close(norms[0].running_mean, convolved.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norms[0].running_var, convolved.var(dim=(0, 2, 3)), rtol=1e-3, atol=1e-4)
