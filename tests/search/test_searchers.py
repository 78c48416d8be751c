"""Behaviour required of every searcher in the list; a new one is tested as soon as it is in it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairnas.config import SearchConfig
from fairnas.errors import UnknownNameError
from fairnas.search import (
    SEARCHERS,
    Archive,
    Candidate,
    SearchResult,
    make_searcher,
    objectives_from,
    run_search,
)
from fairnas.space import format_genome, get_space

pytestmark = pytest.mark.parametrize("name", list(SEARCHERS))


def search(world, path: Path, config: SearchConfig, seed: int = 0, **arguments) -> SearchResult:
    with Archive(path, "s") as archive:
        return run_search(world.space, config, world.evaluate, world.costs, archive, seed, **arguments)


def archived(path: Path) -> tuple[Candidate, ...]:
    with Archive(path, "s", read_only=True) as archive:
        return archive.candidates()


def middle(world, share: float) -> float:
    return world.lightest + share * (world.heaviest - world.lightest)


@pytest.mark.slow
def test_same_seed_same_genomes_and_another_seed_others(world, tmp_path: Path, name: str) -> None:
    config = SearchConfig(searcher=name, population=12, generations=6)
    results = [search(world, tmp_path / str(number), config, seed) for number, seed in enumerate((1, 1, 2))]
    files = [archived(tmp_path / str(number)) for number in range(3)]
    assert results[0] == results[1]
    assert files[0] == files[1]
    assert results[0] != results[2]
    assert {c.genome for c in files[0]} != {c.genome for c in files[2]}


def test_genomes_are_valid_canonical_and_asked_in_the_size_wanted(uneven_world, tmp_path: Path, name: str) -> None:
    result = search(uneven_world, tmp_path / "a", SearchConfig(searcher=name, population=15, generations=8))
    space = uneven_world.space
    assert all(space.canonical(space.validate(genome)) == genome for genome in uneven_world.evaluated)
    assert len(uneven_world.asked[0]) == 15
    assert (result.generations, result.evaluations) == (8, 120)
    assert result.distinct == len(uneven_world.evaluated)


@pytest.mark.slow
@pytest.mark.parametrize("generations", [10, pytest.param(30, marks=pytest.mark.full)])
def test_no_network_is_evaluated_twice(uneven_world, tmp_path: Path, name: str, generations: int) -> None:
    config = SearchConfig(searcher=name, population=16, generations=generations)
    search(uneven_world, tmp_path / "a", config)
    assert len(uneven_world.evaluated) == len(set(uneven_world.evaluated))
    count = len(uneven_world.evaluated)
    search(uneven_world, tmp_path / "a", config, seed=1)
    assert len(uneven_world.evaluated) == len(set(uneven_world.evaluated)) > count


@pytest.mark.parametrize("share", [0.5, 0.1, 0.0])
def test_bounds_hold_in_the_front_and_nothing_beyond_them_is_evaluated(
    world, tmp_path: Path, name: str, share: float
) -> None:
    bound = middle(world, share)
    result = search(world, tmp_path / "a", SearchConfig(searcher=name, population=16, generations=6, max_madds=bound))
    assert result.front
    assert all(candidate.value("madds") <= bound for candidate in result.front)
    assert all(world.costs(genome)["madds"] <= bound for genome in world.evaluated)
    assert result.distinct == len(world.evaluated) + result.rejected
    assert result.hypervolume[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("stop_after", [2, 5, *(pytest.param(number, marks=pytest.mark.full) for number in (1, 3, 4))])
def test_a_search_stopped_after_any_generation_goes_on_as_if_nothing_had_been(
    world, tmp_path: Path, name: str, bounded: bool, stop_after: int
) -> None:
    bound = middle(world, 0.4) if bounded else None
    config = SearchConfig(searcher=name, population=8, generations=5, max_madds=bound)
    whole = search(world, tmp_path / "whole", config)
    path, calls = tmp_path / "stopped", iter(range(1, 6))
    world.asked.clear()
    with pytest.raises(KeyboardInterrupt):
        search(world, path, config, stop=lambda: next(calls) == stop_after)
    assert len(archived(path)) == len(world.evaluated) > 0
    assert search(world, path, config) == whole
    assert archived(path) == archived(tmp_path / "whole")
    assert len(world.evaluated) == len(set(world.evaluated)) == len(archived(path))


def test_an_archive_filled_by_another_search_changes_no_result(world, tmp_path: Path, name: str) -> None:
    config = SearchConfig(searcher=name, population=8, generations=5)
    alone = search(world, tmp_path / "alone", config)
    search(world, tmp_path / "shared", SearchConfig(searcher="random", population=200, generations=5), seed=9)
    assert search(world, tmp_path / "shared", config) == alone


@pytest.mark.parametrize("population", [64, 20])
def test_small_spaces_end_when_everything_was_seen(tiny_world, tmp_path: Path, name: str, population: int) -> None:
    result = search(tiny_world, tmp_path / "a", SearchConfig(searcher=name, population=population))
    assert result.distinct == tiny_world.space.size
    assert result.generations < 200
    assert len(result.hypervolume) == result.generations
    allowed = SearchConfig(searcher=name, max_madds=tiny_world.lightest)
    only = search(tiny_world, tmp_path / "b", allowed)
    assert [c.value("madds") for c in only.front] == [tiny_world.lightest]


def test_hypervolume_never_falls_and_generations_are_those_of_first_asking(world, tmp_path: Path, name: str) -> None:
    result = search(world, tmp_path / "a", SearchConfig(searcher=name, population=8, generations=10))
    assert list(result.hypervolume) == sorted(result.hypervolume)
    assert 0 < result.hypervolume[-1] < 1
    first = {genome: number for number, batch in reversed(list(enumerate(world.asked))) for genome in batch}
    assert all(first[candidate.genome] == candidate.generation for candidate in archived(tmp_path / "a"))
    assert set(result.front) <= set(archived(tmp_path / "a"))


def asked(name: str) -> list[str]:
    """What a searcher asks for in five generations, one line each."""
    config = SearchConfig(searcher=name, population=12)
    objectives = objectives_from(config)
    searcher = make_searcher(
        get_space("digits"), objectives, lambda g: {"madds": 9 + g[0], "params": 9 + g[1]}, config, 11
    )
    lines = []
    for _ in range(5):
        genomes = searcher.ask()
        lines.append(" ".join(map(format_genome, genomes)))
        searcher.tell([Candidate.of(g, {"top1": sum(g) / 99, "madds": 9 + g[0], "params": 9 + g[1]}) for g in genomes])
    return lines


@pytest.fixture(scope="module")
def asked_elsewhere() -> dict[str, list[str]]:
    """What each searcher asks for in another process, one for all: importing torch takes seconds."""
    code = (
        "import json, numpy as np; np.random.seed(5)\n"
        "from fairnas.search import SEARCHERS; from tests.search.test_searchers import asked\n"
        "print(json.dumps({name: asked(name) for name in SEARCHERS}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


@pytest.mark.slow
def test_the_same_in_another_process(asked_elsewhere: dict[str, list[str]], name: str) -> None:
    assert asked_elsewhere[name] == asked(name)


def test_it_is_described(name: str) -> None:
    info = SEARCHERS[name]
    assert info.line
    assert info.source
    assert "\n" not in info.line + info.source


def test_a_name_with_a_slip_is_answered_with_the_nearest(world, name: str) -> None:
    config = SearchConfig(searcher=name + "x")
    with pytest.raises(UnknownNameError, match=f"unknown searcher '{name}x'; did you mean '{name}'"):
        make_searcher(world.space, objectives_from(config), world.costs, config, 0)
