"""The hierarchy of operators: shares, rules, and what becomes of the children."""

import collections
import dataclasses

import numpy as np
import pytest

from fairnas.config import HierarchyConfig, SearchConfig
from fairnas.search import SEARCHERS, Archive, Candidate, Objective, cost_ranges, objectives_from, run_search
from fairnas.search.mutators import HierarchicalMutator, block_costs
from fairnas.space import get_space
from tests.search.conftest import World


def mutator(world, **rules) -> HierarchicalMutator:
    config = SearchConfig(hierarchy=HierarchyConfig(**rules))
    return HierarchicalMutator(world.space, objectives_from(config), world.costs, config, 0)


def population(world, count, seed=0):
    return np.random.default_rng(seed).integers(world.space.choices, size=(count, world.space.depth))


def test_operators_have_the_shares_of_table_4(world) -> None:
    genomes = population(world, 12_000)
    _, names = mutator(world).mutate(genomes, genomes[:5], np.random.default_rng(0))
    shares = {name: count / 12_000 for name, count in collections.Counter(names).items()}
    assert shares == pytest.approx(
        {"random": 0.2, "controller": 0.65 * 0.7, "roulette": 0.65 * 0.3, "prior": 0.15}, abs=0.015
    )


@pytest.mark.parametrize(
    ("rules", "most"),
    [
        ({"random": 1, "reinforced": 0, "prior": 0}, 1),
        ({"random": 0, "reinforced": 1, "prior": 0, "controller": 0}, 1),
        ({"random": 0, "reinforced": 0, "prior": 1}, 1),
        ({"random": 0, "reinforced": 0, "prior": 1, "prior_repeats": "neighbour"}, 1),
        ({"random": 0, "reinforced": 1, "prior": 0, "controller": 1}, 1),
        ({"random": 0, "reinforced": 1, "prior": 0, "controller": 1, "controller_draws": "suffix"}, 8),
        ({"random": 0, "reinforced": 1, "prior": 0, "controller": 1, "controller_draws": "whole"}, 8),
    ],
)
def test_every_operator_gives_valid_genomes_and_changes_as_much_as_it_says(world, rules, most) -> None:
    genomes = population(world, 400)
    before = genomes.copy()
    changed, _ = mutator(world, **rules).mutate(genomes, genomes[:7], np.random.default_rng(1))
    assert (genomes == before).all()
    assert all(world.space.validate(row) for row in changed.tolist())
    differing = (changed != genomes).sum(axis=1)
    assert 0 < differing.max() <= most
    if rules.get("controller_draws") == "whole":
        assert (changed[:, 0] != genomes[:, 0]).mean() > 0.7


def test_roulette_prefers_the_cheap_and_the_prior_what_the_front_has(world) -> None:
    genomes = population(world, 6000)
    only = {"random": 0, "reinforced": 1, "prior": 0, "controller": 0}
    changed, _ = mutator(world, **only).mutate(genomes, genomes[:0], np.random.default_rng(0))
    mean = lambda rows: np.mean([world.costs(tuple(row))["madds"] for row in rows.tolist()])  # noqa: E731
    assert mean(changed) < mean(genomes)
    front = np.full((3, 8), 4)
    changed, _ = mutator(world, random=0, reinforced=0, prior=1).mutate(genomes, front, np.random.default_rng(0))
    moved = changed != genomes
    assert (changed[moved] == 4).all()
    assert moved.any(axis=1).mean() > 0.7


ONLY = {
    "controller": {"random": 0, "reinforced": 1, "prior": 0, "controller": 1},
    "roulette": {"random": 0, "reinforced": 1, "prior": 0, "controller": 0},
    "prior": {"random": 0, "reinforced": 0, "prior": 1},
}


@pytest.mark.parametrize("operator", ONLY)
def test_layers_of_one_choice_take_no_mutation_from_the_others(operator) -> None:
    space = get_space("digits")
    fixed = tuple(
        layer if number % 4 else dataclasses.replace(layer, choices=layer.choices[:1])
        for number, layer in enumerate(space.layers)
    )
    here = World(dataclasses.replace(space, layers=fixed))
    genomes = population(here, 2000)
    changed, _ = mutator(here, **ONLY[operator]).mutate(genomes, genomes[:50], np.random.default_rng(0))
    assert all(here.space.validate(row) for row in changed.tolist())
    assert (changed != genomes).any(axis=1).mean() > 0.7  # of six choices, one in six drawn is the present one


def test_the_neighbours_block_is_repeated_not_its_number() -> None:
    here = World(get_space("proxyless_skip"))
    space = here.space
    light = tuple(count - 1 if count == 7 else 0 for count in space.choices)  # identities, where there are any
    genomes = np.array([light] * 400)
    rules = {**ONLY["prior"], "prior_repeats": "neighbour"}
    changed, _ = mutator(here, **rules).mutate(genomes, genomes[:1], np.random.default_rng(0))
    seen = set()
    for row in changed.tolist():
        for layer in np.flatnonzero(np.array(row) != light):
            beside = [space.block(n, light[n]) for n in (layer - 1, layer + 1) if 0 <= n < space.depth]
            assert space.block(layer, row[layer]) in beside
            seen.add(layer)
    assert seen


@pytest.mark.parametrize("draws", ["whole", "suffix", "layer"])
def test_the_controller_learns_from_all_its_children_also_where_identities_move(draws, monkeypatch) -> None:
    here = World(get_space("nas_bench_macro"))
    rules = {**ONLY["controller"], "controller_draws": draws, "controller_learns_from": "own"}
    one = mutator(here, **rules)
    learned = []
    monkeypatch.setattr(one._controller, "learn", lambda genomes, rewards, own: learned.append((genomes, rewards, own)))
    genomes = population(here, 200)
    changed, names = one.mutate(genomes, genomes[:5], np.random.default_rng(0))
    drawn = {tuple(row) for row in changed.tolist()}
    children = [here.space.canonical(tuple(row)) for row in changed.tolist()]
    one.learn([Candidate.of(child, {**here.costs(child), **here.score(child)}) for child in children], names)
    ((rows, rewards, own),) = learned
    assert len(rows) == len(rewards) == len(own) == 200
    assert set(rows) <= drawn


def test_block_costs_differ_as_blocks_do_and_are_positive(world) -> None:
    found = block_costs(world.space, world.costs, "madds")
    for layer, row in enumerate(found):
        assert (row > 0).all()
        table = np.array(world.madds[layer], dtype=float)
        assert np.allclose(row - row.min(), table - table.min())


@pytest.mark.slow
def test_the_controller_learns_where_accuracy_is(world) -> None:
    """Accuracy grows with the indices in this test: after some generations, higher ones are drawn."""
    searcher = mutator(world, random=0, reinforced=1, prior=0, controller=1, controller_draws="whole")
    rng, means = np.random.default_rng(0), []
    for _ in range(40):
        drawn, names = searcher.mutate(np.zeros((48, 8), dtype=int), np.zeros((0, 8), dtype=int), rng)
        means.append(drawn.mean())
        genomes = [tuple(row) for row in drawn.tolist()]
        searcher.learn([Candidate.of(g, {**world.score(g), **world.costs(g)}) for g in genomes], names)
    assert means[0] < 2.8
    assert np.mean(means[-5:]) > 3.5


def test_the_ledger_of_operators_adds_up(world, tmp_path) -> None:
    config = SearchConfig(searcher="moremnas", population=20, generations=12)
    with Archive(tmp_path / "a", "s") as archive:
        result = run_search(world.space, config, world.evaluate, world.costs, archive, 0)
    assert set(result.operators) == {"first", "none", "crossover", "random", "controller", "roulette", "prior"} & set(
        result.operators
    )
    assert result.operators["first"].children == 20
    assert sum(tally.children for tally in result.operators.values()) == result.evaluations
    assert all(0 <= t.on_front <= t.survived <= t.children for t in result.operators.values())
    assert sum(t.survived for t in result.operators.values()) > 20


@pytest.mark.slow
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_any_objective_can_be_searched_for(world, tmp_path, searcher) -> None:
    """Two of a user's own: a cost from a table, and a share that the evaluator gives."""
    objectives = (Objective("calm", "max", "share"), Objective("milliseconds", "min", "ms", bound=30.0))

    def costs(genome):
        return {"milliseconds": 1.0 + sum(genome)}

    def evaluate(genomes):
        return [{"calm": sum(genome) / 40} for genome in genomes]

    config = SearchConfig(searcher=searcher, population=20, generations=15)
    with Archive(tmp_path / "a", "s") as archive:
        result = run_search(world.space, config, evaluate, costs, archive, 0, objectives=objectives)
    assert max(candidate.value("milliseconds") for candidate in result.front) <= 30
    assert cost_ranges(world.space, costs)["milliseconds"] == (1, 41)
    by_time = sorted(result.front, key=lambda candidate: candidate.value("milliseconds"))
    assert by_time[0].value("calm") < by_time[-1].value("calm")
