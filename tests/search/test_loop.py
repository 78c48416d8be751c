import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import MappingProxyType

import pytest

from fairnas.config import SearchConfig
from fairnas.errors import ConfigError
from fairnas.search import SEARCHERS, Archive, Objective, SearcherInfo, objectives_from, pareto_front, run_search
from fairnas.space import Identity


@pytest.fixture
def archive(tmp_path: Path):
    with Archive(tmp_path / "archive.sqlite", "s") as archive:
        yield archive


CONFIG = SearchConfig(population=12, generations=8)


def unlucky(genome) -> bool:
    """One network in four, spread over the whole space."""
    return sum(genome) % 4 == 0


def test_the_front_is_that_of_everything_evaluated(world, archive: Archive) -> None:
    result = run_search(world.space, CONFIG, world.evaluate, world.costs, archive, 0)
    assert result.front == pareto_front(archive.candidates(), objectives_from(CONFIG))
    assert [c.value("madds") for c in result.front] == sorted(c.value("madds") for c in result.front)
    assert result.reference[:2] == (0.0, world.heaviest)
    assert result.front[0].measures.keys() == {"top1", "top5", "loss", "madds", "params"}


@pytest.mark.slow
def test_identical_networks_are_evaluated_once(uneven_world, archive: Archive) -> None:
    space = uneven_world.space
    run_search(
        space,
        SearchConfig(population=64, generations=10),
        uneven_world.evaluate,
        uneven_world.costs,
        archive,
        0,
    )
    evaluated = uneven_world.evaluated
    with_identity = [g for g in evaluated if any(isinstance(space.block(n, c), Identity) for n, c in enumerate(g))]
    assert len(with_identity) > 50
    assert len({space.canonical(genome) for genome in evaluated}) == len(evaluated)


def test_a_searcher_may_ask_for_any_genome_of_a_network_and_more_than_once(
    uneven_world, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    genome = (0, 4, 0, 1, 0, 0, 0, 0)  # the identity of layer 1 may as well be in layer 3
    canonical = uneven_world.space.canonical(genome)
    assert canonical != genome

    class Stubborn:
        operators = MappingProxyType({})

        def ask(self):
            return (genome, (1, 0, 0, 0, 0, 0, 0, 0), canonical, genome)

        def tell(self, candidates):
            told.append([candidate.genome for candidate in candidates])

    monkeypatch.setitem(SEARCHERS, "stubborn", SearcherInfo("", "", lambda *arguments: Stubborn()))
    config = SearchConfig(searcher="stubborn", generations=2)
    result = run_search(uneven_world.space, config, uneven_world.evaluate, uneven_world.costs, archive, 0)
    assert told == [[canonical, (1, 0, 0, 0, 0, 0, 0, 0), canonical, canonical]] * 2
    assert uneven_world.evaluated == [canonical, (1, 0, 0, 0, 0, 0, 0, 0)]
    assert (result.evaluations, result.distinct) == (8, 2)


def test_a_network_with_a_nan_fails_alone_and_the_search_goes_on(world, tmp_path: Path) -> None:
    def evaluate(genomes):
        return [{**world.score(g), "loss": math.nan if unlucky(g) else 1.0} for g in genomes]

    results, failed = [], []
    for _ in range(2):  # the second time everything comes from the archive
        with Archive(tmp_path / "a", "s") as archive:
            results.append(run_search(world.space, CONFIG, evaluate, world.costs, archive, 0))
            failed = [c for c in archive.candidates() if c.failed]
    assert results[0] == results[1]
    assert results[0].failed == len(failed) > 0
    assert all(unlucky(candidate.genome) for candidate in failed)
    assert not any(unlucky(candidate.genome) for candidate in results[0].front)
    assert results[0].generations == 8


@pytest.mark.parametrize("error", [ZeroDivisionError, FloatingPointError, OverflowError])
def test_an_arithmetic_error_fails_the_network_that_causes_it(world, archive: Archive, error: type) -> None:
    def evaluate(genomes):
        if any(unlucky(genome) for genome in genomes):
            raise error("no")
        return world.evaluate(genomes)

    result = run_search(world.space, CONFIG, evaluate, world.costs, archive, 0)
    assert result.failed == sum(c.failed for c in archive.candidates()) > 0
    assert all(unlucky(c.genome) == c.failed for c in archive.candidates())
    assert len(world.evaluated) == len(set(world.evaluated)) == result.distinct - result.failed


def test_other_errors_of_the_evaluator_are_not_swallowed(world, archive: Archive) -> None:
    def evaluate(genomes):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run_search(world.space, CONFIG, evaluate, world.costs, archive, 0)
    assert len(archive) == 0


def test_if_everything_fails_the_front_is_empty(world, archive: Archive) -> None:
    result = run_search(
        world.space, CONFIG, lambda genomes: [{"top1": math.nan}] * len(genomes), world.costs, archive, 0
    )
    assert result.front == ()
    assert result.hypervolume == (0.0,) * 8
    assert result.failed == result.distinct > 0


def test_an_evaluator_that_breaks_its_contract_is_noticed(world, archive: Archive) -> None:
    with pytest.raises(AssertionError, match="gave 1 scores for 12 genomes"):
        run_search(world.space, CONFIG, lambda genomes: [{"top1": 0.5}], world.costs, archive, 0)
    with pytest.raises(AssertionError, match="must give top1"):
        run_search(world.space, CONFIG, lambda genomes: [{"acc": 0.5}] * len(genomes), world.costs, archive, 0)


def test_an_impossible_bound_is_refused_before_anything_is_evaluated(world, archive: Archive) -> None:
    config = SearchConfig(max_madds=world.lightest - 1)
    with pytest.raises(ConfigError, match=f"the smallest network of space 'digits' has {world.lightest:,}"):
        run_search(world.space, config, world.evaluate, world.costs, archive, 0)
    assert world.asked == []


@pytest.mark.parametrize("fixture", ["tiny_world", "world"])
def test_bounds_that_only_fight_each_other_are_reported(
    fixture: str, request: pytest.FixtureRequest, archive: Archive
) -> None:
    world = request.getfixturevalue(fixture)
    world.params = [[45_000 - value // 100 for value in row] for row in world.madds]  # light is large
    lightest = sum(min(row[:m]) for row, m in zip(world.params, world.space.choices, strict=True))
    config = SearchConfig(population=8, generations=5, max_madds=world.lightest, max_params=lightest)
    with pytest.raises(
        ConfigError, match=r"no network of space .* was found that meets search.max_madds .* and search.max"
    ):
        run_search(world.space, config, world.evaluate, world.costs, archive, 0)
    assert world.asked == []


def test_one_network_that_failed_does_not_hide_that_none_meets_the_bounds(world, archive: Archive) -> None:
    asked = []

    def energy(space, genome):
        asked.append(genome)
        if len(asked) == 1:
            raise RuntimeError("no answer")
        return 10.0

    objectives = (*objectives_from(CONFIG), Objective("energy", "min", "J", function=energy, bound=5))
    with pytest.raises(ConfigError, match=r"meets .*energy.* \(1 failed, such as \d{8}: .*no answer\); loosen"):
        run_search(world.space, CONFIG, world.evaluate, world.costs, archive, 0, objectives=objectives)


def test_where_all_that_meet_the_bounds_failed_it_is_not_for_the_bounds(world, archive: Archive) -> None:
    def broken(space, genome):
        raise RuntimeError("no meter")

    bound = world.lightest + 0.3 * (world.heaviest - world.lightest)
    config = dataclasses.replace(CONFIG, max_madds=bound)
    objectives = (*objectives_from(config), Objective("energy", "min", "J", function=broken))
    result = run_search(world.space, config, world.evaluate, world.costs, archive, 0, objectives=objectives)
    assert result.front == ()
    assert "no meter" in result.failure


def test_progress_is_told_generation_by_generation(world, archive: Archive) -> None:
    lines = []
    result = run_search(
        world.space,
        CONFIG,
        world.evaluate,
        world.costs,
        archive,
        0,
        on_progress=lambda *line: lines.append(line),
    )
    assert [line[:2] for line in lines] == [(number, 8) for number in range(1, 9)]
    assert f"hypervolume {result.hypervolume[-1]:.4f}" in lines[-1][2]
    assert f"front of {len(result.front)}" in lines[-1][2]


@pytest.mark.slow
def test_more_generations_later_only_evaluate_what_is_new(world, archive: Archive) -> None:
    short = run_search(world.space, CONFIG, world.evaluate, world.costs, archive, 0)
    count = len(world.evaluated)
    longer = SearchConfig(population=12, generations=16)
    long = run_search(world.space, longer, world.evaluate, world.costs, archive, 0)
    assert long.hypervolume[:8] == short.hypervolume
    assert not set(world.evaluated[:count]) & set(world.evaluated[count:])


@pytest.mark.slow
def test_bookkeeping_is_cheap(archive: Archive) -> None:
    """12,800 candidates may cost 3 ms each; this is a shorter search with slack for a busy machine."""
    from fairnas.space import get_space

    space = get_space("mobilenet_v2")

    def costs(genome):
        return {"madds": 1000 + sum(genome), "params": 100 + sum(genome[::2])}

    def evaluate(genomes):
        return [{"top1": sum(genome[1::2]) / 100} for genome in genomes]

    start = time.process_time()
    result = run_search(space, SearchConfig(generations=30), evaluate, costs, archive, 0)
    assert (time.process_time() - start) / result.evaluations < 0.003


KILLED = """
import sys, time
from pathlib import Path
from fairnas.config import SearchConfig
from fairnas.search import Archive, run_search
from fairnas.space import format_genome, get_space

path, log, seconds = Path(sys.argv[1]), open(sys.argv[2], "a"), float(sys.argv[3])
space = get_space("digits")

def costs(genome):
    madds = 1000 + sum((c + 1) * (n + 1) for n, c in enumerate(genome))
    return {"madds": madds, "params": 100 + sum(genome[:4])}

def evaluate(genomes):
    result = []
    for genome in genomes:
        time.sleep(seconds)
        print(format_genome(genome), file=log, flush=True)
        result.append({"top1": (sum(c * c for c in genome) % 101) / 101})
    return result

config = SearchConfig(population=10, generations=12, max_madds=1120)
with Archive(path, "s") as archive:
    print(run_search(space, config, evaluate, costs, archive, 3))
    print(archive.candidates())
"""


@pytest.mark.slow
@pytest.mark.full
def test_a_killed_search_ends_as_the_undisturbed_one(tmp_path: Path) -> None:
    """In the midst of scoring, and in processes of their own; test_killed_search kills every searcher."""

    def start(name: str, log: str, seconds: float) -> subprocess.Popen:
        arguments = [str(tmp_path / name), str(tmp_path / log), str(seconds)]
        return subprocess.Popen([sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE, text=True)

    undisturbed = start("undisturbed", "log", 0).communicate()[0]
    killed = start("killed", "before", 0.01)
    log = tmp_path / "before"
    deadline = time.monotonic() + 60
    while not log.exists() or len(log.read_text().split()) < 35:
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.communicate()[0] == ""
    with Archive(tmp_path / "killed", "s") as archive:
        kept = {"".join(map(str, candidate.genome)) for candidate in archive.candidates()}
    before = log.read_text().split()
    assert kept == set(before[: len(kept)])
    assert len(before) - len(kept) <= 10  # one generation at most was lost

    again = start("killed", "after", 0)
    assert again.communicate()[0] == undisturbed
    assert "SearchResult" in undisturbed
    after = (tmp_path / "after").read_text().split()
    assert not kept & set(after)
    assert len(after) == len(set(after))
