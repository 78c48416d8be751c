import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config import SearchConfig
from fairnas.search import Candidate, objectives_from
from fairnas.search.mutators import change_one_layer
from fairnas.search.nsga2 import NSGA2, children, survivors


def pairs(world, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = [np.array([world.space.canonical(world.space.sample(rng)) for _ in range(count)]) for _ in "ab"]
    return rows[0], rows[1]


# The operators --------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 6), min_size=1, max_size=9), st.integers(0, 2**32))
@settings(deadline=None)
def test_mutation_changes_exactly_one_layer_to_another_choice(choices: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    genomes = rng.integers(choices, size=(20, len(choices)))
    before = genomes.copy()
    changed = change_one_layer(genomes, choices, rng)
    assert (genomes == before).all()
    assert ((changed >= 0) & (changed < choices)).all()
    expected = 1 if max(choices) > 1 else 0
    assert ((changed != genomes).sum(axis=1) == expected).all()


def test_mutation_is_uniform_over_layers_and_over_other_choices() -> None:
    choices, draws = (4, 1, 2, 4), 30_000
    changed = change_one_layer(np.zeros((draws, 4), dtype=int), choices, np.random.default_rng(0))
    share = [[(changed[:, layer] == choice).mean() for choice in range(1, m)] for layer, m in enumerate(choices)]
    assert share[1] == []
    assert np.allclose(share[0] + share[3], 1 / 9, atol=0.01)
    assert np.allclose(share[2], 1 / 3, atol=0.01)


def test_crossover_swaps_the_layers_behind_one_point(world) -> None:
    config = SearchConfig(crossover=1.0, mutation=0.0)
    a, b = pairs(world, 50)
    born, _ = children(a, b, world.space, config, np.random.default_rng(0))
    points = set()
    for x, y, first, second in zip(a, b, born[:50], born[50:], strict=True):
        fitting = [p for p in range(1, 8) if (first == [*x[:p], *y[p:]]).all() and (second == [*y[:p], *x[p:]]).all()]
        assert fitting
        points |= set(fitting)
    assert points == set(range(1, 8))


@pytest.mark.parametrize("crossover", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("mutation", [0.0, 0.6, 1.0])
def test_operators_act_with_their_probabilities(world, crossover: float, mutation: float) -> None:
    config = SearchConfig(crossover=crossover, mutation=mutation)
    a, b = np.zeros((4000, 8), dtype=int), np.full((4000, 8), 5)
    born, _ = children(a, b, world.space, config, np.random.default_rng(0))
    mixed = (np.abs(np.diff(born, axis=1)) > 0).any(axis=1)
    # an unmixed child is a parent; crossover alone leaves exactly one step of height 5
    crossed_alone = (np.abs(np.diff(born, axis=1)) == 5).sum(axis=1) == 1
    if mutation == 0:
        assert (mixed == crossed_alone).all()
        assert mixed.mean() == pytest.approx(crossover, abs=0.03)
    if crossover == 0:
        assert mixed.mean() == pytest.approx(mutation, abs=0.03)
    assert (1 - mixed.mean()) == pytest.approx((1 - crossover) * (1 - mutation), abs=0.03)


def test_children_are_canonical(uneven_world) -> None:
    space = uneven_world.space
    born, _ = children(*pairs(uneven_world, 200), space, SearchConfig(), np.random.default_rng(0))
    assert all(space.canonical(space.validate(row)) == tuple(row) for row in born.tolist())


def test_genomes_of_one_layer_have_nothing_to_cross(tiny_world) -> None:
    from fairnas.space import Stage, Stem, chain_space

    space = chain_space("one", image_size=8, stem=Stem(8, 1), stages=(Stage(8, 1),), head=16)
    a, b = np.array([[0]]), np.array([[5]])
    born, _ = children(a, b, space, SearchConfig(crossover=1.0, mutation=0.0), np.random.default_rng(0))
    assert born.tolist() == [[0], [5]]


# Survival -------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_survival_agrees_with_pymoo_where_nothing_ties(seed: int, count: int) -> None:
    from pymoo.core.population import Population
    from pymoo.core.problem import Problem
    from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

    rng = np.random.default_rng(seed)
    values, excess = rng.random((30, 3)), rng.random(30) - 0.7
    population = Population.new("X", np.arange(30)[:, None])
    population.set("F", values)
    population.set("G", excess[:, None])
    problem = Problem(n_var=1, n_obj=3, n_ieq_constr=1, xl=0, xu=30)
    expected = RankAndCrowding().do(problem, population, n_survive=count, random_state=np.random.default_rng(0))
    ours = survivors(values, np.maximum(0, excess), count, np.random.default_rng(0))
    distances = {index: distance for index, _, distance in ours}
    theirs = set(expected.get("X")[:, 0].tolist())
    # infinite crowding distances tie: at most the extreme networks of the last front may differ
    assert all(np.isinf(distances[index]) for index in distances.keys() - theirs)
    assert len(ours) == len(theirs) == count
    for individual in expected:
        index = int(individual.X[0])
        if index in distances and excess[index] <= 0:
            assert distances[index] == pytest.approx(individual.get("crowding"))


@pytest.mark.parametrize("seed", range(20))
def test_survival_does_not_depend_on_how_numpy_sorts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, size=(300, 3)).astype(float)  # so few values that nearly everything ties
    values[:, 2] = 8 - values[:, 0] - values[:, 1]  # and that most networks are on one front
    violations = rng.integers(0, 3, size=300) / 2
    count = int(rng.integers(20, 200))
    got = survivors(values, violations, count, np.random.default_rng(5))
    everyone = survivors(values, violations, 300, np.random.default_rng(5))  # nobody has to go: no sorting
    rng, kept = np.random.default_rng(5), []
    for rank in range(max((r for _, r, _ in everyone), default=-1) + 1):
        front = sorted((index, distance) for index, r, distance in everyone if r == rank)
        if len(kept) + len(front) > count:
            shuffled = [front[i] for i in rng.permutation(len(front))]
            front = sorted(shuffled, key=lambda pair: -pair[1])[: count - len(kept)]
        kept += [index for index, _ in front]
        if len(kept) == count:
            break
    missing = sorted(np.flatnonzero(violations).tolist(), key=lambda index: violations[index])
    kept += missing[: count - len(kept)]
    assert [index for index, _, _ in got] == kept


def test_meeting_the_bounds_beats_everything_and_the_closest_miss_comes_next() -> None:
    values = np.array([[0.0, 0.0], [9.0, 9.0], [0.0, 0.0], [0.0, 0.0]])
    violations = np.array([0.5, 0.0, np.inf, 0.1])
    got = survivors(values, violations, 3, np.random.default_rng(0))
    assert [index for index, _, _ in got] == [1, 3, 0]
    assert [rank for _, rank, _ in got] == [0, -1, -1]


# The searcher ---------------------------------------------------------------------------------------------


def generations(world, config: SearchConfig, seed: int, count: int, wrong: float | None = None) -> list:
    """Genomes of each generation; candidates that miss a bound are reported with accuracy `wrong`, or none."""
    objectives = objectives_from(config)
    searcher = NSGA2(world.space, objectives, world.costs, config, seed)
    asked = []
    for number in range(count):
        genomes = searcher.ask()
        told = []
        for genome in genomes:
            measures = world.costs(genome)
            misses = any(o.violation(measures[o.name]) for o in objectives if o.bound is not None)
            if not misses:
                measures |= world.score(genome)
            elif wrong is not None:
                measures |= {"top1": wrong * len(told)}
            told.append(Candidate.of(genome, measures, number))
        asked.append(genomes)
        searcher.tell(told)
    return asked


def test_scores_of_networks_that_miss_a_bound_change_nothing(world) -> None:
    """Duplicates are recognised, so they need not be evaluated."""
    bound = world.lightest + 0.4 * (world.heaviest - world.lightest)
    config = SearchConfig(population=16, max_madds=bound, max_params=250_000)
    without = generations(world, config, 0, 12)
    rejected = [g for genomes in without for g in genomes if world.costs(g)["madds"] > bound]
    assert len(rejected) > 10
    assert generations(world, config, 0, 12, wrong=0.01) == without
    assert generations(world, config, 0, 12, wrong=-5.0) == without


def test_failed_networks_do_not_become_parents(world) -> None:
    config = SearchConfig(population=16, crossover=0.0, mutation=1.0)
    objectives = objectives_from(config)
    searcher = NSGA2(world.space, objectives, world.costs, config, 0)
    first = searcher.ask()
    # the lightest networks would never be dominated, had they only a low accuracy
    light_first = sorted(first, key=lambda genome: world.costs(genome)["madds"])
    failed = set(light_first[:8])
    nan = float("nan")
    told = {g: {"top1": nan if g in failed else world.score(g)["top1"], **world.costs(g)} for g in first}
    searcher.tell([Candidate.of(genome, told[genome]) for genome in first])
    second = searcher.ask()
    searcher.tell([Candidate.of(g, {**world.score(g), **world.costs(g)}, 1) for g in second])
    third = searcher.ask()
    parents = [[p for p in (*first, *second) if sum(x != y for x, y in zip(p, g, strict=True)) == 1] for g in third]
    assert all(any(parent not in failed for parent in found) for found in parents)


def test_children_differ_from_each_other_and_from_the_population(world) -> None:
    asked = generations(world, SearchConfig(population=32), 0, 10)
    assert all(len(set(genomes)) == len(genomes) == 32 for genomes in asked)
    assert not set(asked[0]) & set(asked[1])


def test_the_first_population_and_the_matings_follow_the_seed(world, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SearchConfig(population=16)
    assert generations(world, config, 0, 1) != generations(world, config, 1, 1)
    monkeypatch.setattr("fairnas.search.nsga2.generator", lambda *arguments: np.random.default_rng(0))
    a, b = generations(world, config, 0, 2), generations(world, config, 1, 2)
    assert a[0] == b[0]
    assert a[1] != b[1]


def test_the_search_follows_the_scores(world) -> None:
    asked = generations(world, SearchConfig(population=32), 0, 25)
    gains = [[world.score(g)["top1"] - world.costs(g)["madds"] / world.heaviest for g in each] for each in asked]
    mean = [np.mean(each) for each in gains]
    assert mean[-1] > mean[0] + 0.05


def test_global_generators_are_neither_used_nor_changed(world) -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state(legacy=False)["state"]["key"].tolist()  # noqa: NPY002
    first = generations(world, SearchConfig(population=12, max_madds=world.lightest * 2), 3, 6)
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert generations(world, SearchConfig(population=12, max_madds=world.lightest * 2), 3, 6) == first


@pytest.mark.slow
def test_nothing_is_printed_and_pymoo_waits_until_it_is_needed() -> None:
    code = (
        "import sys, fairnas.search as s\n"
        "assert not {'pymoo', 'scipy', 'moocore', 'torch'} & set(sys.modules)\n"
        "from fairnas.config import SearchConfig; from fairnas.space import get_space\n"
        "c, space = SearchConfig(searcher='nsga2'), get_space('digits')\n"
        "s.make_searcher(space, s.objectives_from(c), lambda g: {}, c, 0).ask()\n"
        "assert 'pymoo' in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
