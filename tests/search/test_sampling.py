from collections import Counter

import numpy as np
import pytest

from fairnas.config import SearchConfig
from fairnas.search import objectives_from
from fairnas.search.sampling import FeasibleGenomes
from fairnas.space import get_space
from tests.search.conftest import World


def genomes_of(
    world, seed: int = 0, max_madds: float | None = None, max_params: float | None = None
) -> FeasibleGenomes:
    objectives = objectives_from(SearchConfig(max_madds=max_madds, max_params=max_params))
    return FeasibleGenomes(world.space, objectives, world.costs, np.random.default_rng(seed))


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01, 0.0])
def test_genomes_are_distinct_canonical_and_within_the_bound(uneven_world, share: float) -> None:
    bound = uneven_world.lightest + share * (uneven_world.heaviest - uneven_world.lightest)
    genomes = genomes_of(uneven_world, max_madds=bound)
    drawn = [*genomes.draw(30), *genomes.draw(30)]
    assert len(drawn) == len(set(drawn))
    assert all(uneven_world.costs(genome)["madds"] <= bound for genome in drawn)
    assert all(uneven_world.space.canonical(uneven_world.space.validate(g)) == g for g in drawn)
    assert len(drawn) == 60 if share >= 0.1 else 1 <= len(drawn) <= 60


def test_a_tight_bound_is_met_from_the_start(world) -> None:
    bound = world.lightest + 0.08 * (world.heaviest - world.lightest)
    rng = np.random.default_rng(1)
    uniform = [world.space.sample(rng) for _ in range(2000)]
    assert not any(world.costs(genome)["madds"] <= bound for genome in uniform)  # rejection alone would fail
    drawn = genomes_of(world, max_madds=bound).draw(40)
    assert len(drawn) == 40
    assert len({genome[0] for genome in drawn}) > 1


def test_two_bounds_at_once(world) -> None:
    every = [world.costs(g) for g in genomes_of(world).draw(500)]
    madds, params = (float(np.quantile([cost[name] for cost in every], 0.2)) for name in ("madds", "params"))
    drawn = genomes_of(world, max_madds=madds, max_params=params).draw(40)
    assert len(drawn) == 40
    assert all(world.costs(genome)["madds"] <= madds for genome in drawn)
    assert all(world.costs(genome)["params"] <= params for genome in drawn)


def test_a_small_space_is_dealt_out_exactly(tiny_world) -> None:
    genomes = genomes_of(tiny_world)
    drawn = [genomes.draw(10) for _ in range(4)]
    assert [len(part) for part in drawn] == [10, 10, 7, 0]
    assert {genome for part in drawn for genome in part} == set(tiny_world.space.enumerate())


def test_a_small_space_lists_what_meets_the_bounds(tiny_world) -> None:
    bound = (tiny_world.lightest + tiny_world.heaviest) / 2
    allowed = {g for g in tiny_world.space.enumerate() if tiny_world.costs(g)["madds"] <= bound}
    genomes = genomes_of(tiny_world, max_madds=bound)
    assert genomes.listed() == allowed
    assert set(genomes.draw(99)) == allowed
    assert genomes.listed() == set()


def test_a_large_space_is_never_dealt_twice(uneven_world) -> None:
    genomes = genomes_of(uneven_world)
    drawn = [genome for _ in range(40) for genome in genomes.draw(100)]
    assert len(set(drawn)) == len(drawn) == 4000


def test_a_large_space_is_not_listed(world) -> None:
    assert genomes_of(world).listed() is None


@pytest.mark.parametrize("fixture", ["tiny_world", "world"])
def test_without_bounds_every_choice_is_as_likely(fixture: str, request: pytest.FixtureRequest) -> None:
    world = request.getfixturevalue(fixture)
    count = world.space.choices[0]
    first = Counter(genomes_of(world, seed).draw(4)[0][0] for seed in range(300))
    assert all(abs(first[choice] - 300 / count) < 5 * (300 / count) ** 0.5 for choice in range(count))


def test_the_generator_decides_alone(world) -> None:
    assert genomes_of(world, 3, max_madds=world.lightest * 1.2).draw(20) == genomes_of(
        world, 3, max_madds=world.lightest * 1.2
    ).draw(20)
    assert genomes_of(world, 3).draw(20) != genomes_of(world, 4).draw(20)


def test_a_repaired_genome_meets_the_bound_where_identities_cost_differently_by_layer() -> None:
    """A latency table measures each layer by itself, so moving an identity changes the cost."""
    here = World(get_space("fbnet"))
    bound = here.lightest + 0.05 * (here.heaviest - here.lightest)
    drawn = genomes_of(here, max_madds=bound).draw(64)
    assert len(drawn) == 64
    assert all(here.costs(genome)["madds"] <= bound for genome in drawn)
    assert all(here.space.canonical(genome) == genome for genome in drawn)
