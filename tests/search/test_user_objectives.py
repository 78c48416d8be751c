"""Objectives that are a user's own function: asked once, before the supernet; failing alone; the same after a kill."""

import dataclasses
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.config import SearchConfig
from fairnas.errors import ConfigError
from fairnas.search import (
    ACCURACY,
    MADDS,
    PARAMS,
    SEARCHERS,
    Archive,
    Candidate,
    Objective,
    SearchResult,
    check_bounds,
    cost_ranges,
    hypervolume,
    make_searcher,
    objectives_from,
    pareto_front,
    reference_point,
    run_search,
)
from fairnas.search.objectives import merit, without_objectives
from fairnas.search.ranges import estimated_ranges, known_ranges

CONFIG = SearchConfig(population=12, generations=8)


def spread(space, genome) -> float:
    """Not additive over layers."""
    return float(max(genome) - min(genome))


SPREAD = Objective("spread", "min", "steps", function=spread)


def search(world, path: Path, objectives, config=CONFIG, evaluator=None, **arguments) -> SearchResult:
    with Archive(path, "s") as archive:
        return run_search(
            world.space,
            config,
            evaluator or world.evaluate,
            world.costs,
            archive,
            0,
            objectives=objectives,
            **arguments,
        )


def counted(function):
    asked = []

    def count(space, genome):
        asked.append(genome)
        return function(space, genome)

    return count, asked


@pytest.mark.parametrize("searcher", SEARCHERS)
@pytest.mark.parametrize("direction", ["min", "max"])
def test_every_searcher_takes_it_and_asks_once_a_network(world, tmp_path: Path, searcher: str, direction) -> None:
    function, asked = counted(spread)
    mine = Objective("spread", direction, "steps", function=function)
    config = dataclasses.replace(CONFIG, searcher=searcher)
    result = search(world, tmp_path / "a", (ACCURACY, MADDS, mine), config)
    assert len(asked) == len(set(asked)) == result.distinct
    assert result.front == pareto_front(result.front, (ACCURACY, MADDS, mine))
    assert all(candidate.value("spread") == spread(None, candidate.genome) for candidate in result.front)
    assert list(result.hypervolume) == sorted(result.hypervolume)
    assert 0 < result.hypervolume[-1] <= 1
    assert result.estimated == ("spread",)
    assert result.failed == 0


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_bound_rejects_before_the_supernet_is_asked(world, tmp_path: Path, searcher: str) -> None:
    for number, (direction, bound) in enumerate((("min", 4.0), ("max", 4.0))):
        world.asked.clear()
        mine = Objective("spread", direction, "steps", bound=bound, function=spread)
        config = dataclasses.replace(CONFIG, searcher=searcher)
        result = search(world, tmp_path / str(number), (ACCURACY, MADDS, mine), config)
        assert all(mine.violation(spread(None, genome)) == 0 for genome in world.evaluated)
        assert result.rejected == result.distinct - len(world.evaluated) > 0
        assert result.front


def test_evolution_is_led_to_the_bound(world, tmp_path: Path) -> None:
    mine = Objective("spread", "min", "steps", bound=2.0, function=spread)  # 3 random networks in 1000
    config = SearchConfig(searcher="nsga2", population=20, generations=25)
    result = search(world, tmp_path / "a", (ACCURACY, MADDS, mine), config)
    assert len(result.front) > 3
    assert all(candidate.value("spread") <= 2 for candidate in result.front)


def test_a_cost_that_misses_its_bound_spares_the_function(world, tmp_path: Path) -> None:
    function, asked = counted(spread)
    bound = (world.lightest + world.heaviest) / 2
    objectives = (ACCURACY, dataclasses.replace(MADDS, bound=bound), dataclasses.replace(SPREAD, function=function))
    search(world, tmp_path / "a", objectives)
    assert asked
    assert all(world.costs(genome)["madds"] <= bound for genome in asked)


# Failing ----------------------------------------------------------------------------------------------------


def raises(error: BaseException):
    def fail(space, genome):
        raise error

    return fail


def gives(value):
    return lambda space, genome: value


FAULTS = [
    (raises(ValueError("no power\nmeter")), "mine raised ValueError: no power"),
    (raises(KeyError("k7")), "mine raised KeyError: 'k7'"),
    (raises(AssertionError()), "mine raised AssertionError:"),
    (raises(SystemExit(3)), "mine raised SystemExit: 3"),
    (raises(ConfigError("x" * 500)), "mine raised ConfigError: xxx"),
    (gives(math.nan), "mine returned nan, not a finite number"),
    (gives(-math.inf), "mine returned -inf, not a finite number"),
    (gives("12"), "mine returned '12', not a finite number"),
    (gives(None), "mine returned None, not a finite number"),
    (gives(1j), "mine returned a complex, not a finite number"),
    (gives([1.0]), "mine returned a list, not a finite number"),
    (gives(10**400), "mine returned"),
]


@pytest.mark.slow
@pytest.mark.cover("function", "source", together=1)
@pytest.mark.parametrize(("function", "reason"), FAULTS)
@pytest.mark.parametrize("source", ["", "mine.py 0123"])
def test_what_gives_no_number_fails_its_network_alone(
    world, tmp_path: Path, function, reason: str, source: str
) -> None:
    def mine(space, genome):
        return function(space, genome) if sum(genome) % 4 == 0 else spread(space, genome)

    objectives = (ACCURACY, MADDS, Objective("mine", "min", "", function=mine, bound=1000.0, source=source))
    first = search(world, tmp_path / "a", objectives)
    assert 0 < first.failed < first.distinct
    assert first.rejected == 0
    assert first.distinct == first.failed + len(world.evaluated)
    assert not any(sum(genome) % 4 == 0 for genome in world.evaluated)
    text, _, why = first.failure.partition(": ")
    assert sum(map(int, text)) % 4 == 0
    assert why.startswith(reason)
    assert "\n" not in why
    assert len(why) <= 200
    assert first.generations == 8
    assert search(world, tmp_path / "a", objectives) == first


def test_an_interruption_is_not_a_failure(world, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(world, tmp_path / "a", (ACCURACY, dataclasses.replace(SPREAD, function=raises(KeyboardInterrupt()))))


def test_if_every_network_fails_the_front_is_empty(world, tmp_path: Path) -> None:
    lines = []
    mine = Objective("mine", "min", "", function=raises(NameError("x")))
    result = search(world, tmp_path / "a", (ACCURACY, mine), on_progress=lambda *line: lines.append(line[2]))
    assert (result.front, result.failed, result.hypervolume[-1]) == ((), result.distinct, 0)
    assert world.asked == []
    assert lines[0].endswith("12 networks seen, 12 failed")


@pytest.mark.slow
def test_why_the_evaluator_failed_is_kept(world, tmp_path: Path) -> None:
    def evaluate(genomes):
        if any(sum(genome) % 4 == 0 for genome in genomes):
            raise OverflowError("too large")
        return world.evaluate(genomes)

    def evaluate_to_nan(genomes):
        return [{**world.score(g), "loss": math.inf if sum(g) % 4 == 0 else 1.0} for g in genomes]

    objectives = (ACCURACY, MADDS, PARAMS)
    for name, evaluator, why in (
        ("a", evaluate, "the evaluator raised OverflowError: too large"),
        ("b", evaluate_to_nan, "loss not finite"),
    ):
        first = search(world, tmp_path / name, objectives, evaluator=evaluator)
        assert first.failure.split(": ", 1)[1] == why
        assert search(world, tmp_path / name, objectives) == first


# The archive ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_stopped_after_any_generation_it_ends_as_the_whole_and_never_asks_twice(world, tmp_path: Path) -> None:
    function, asked = counted(lambda space, genome: spread(space, genome) if sum(genome) % 5 else math.nan)
    mine = Objective("mine", "max", "steps", function=function, bound=2.0, source="mine.py 1")
    config = SearchConfig(population=8, generations=5)
    whole = search(world, tmp_path / "whole", (ACCURACY, MADDS, mine), config)
    for last in range(1, 6):
        asked.clear()
        world.asked.clear()
        calls = iter(range(1, 6))
        with pytest.raises(KeyboardInterrupt):
            search(
                world, tmp_path / str(last), (ACCURACY, MADDS, mine), config,
                stop=lambda calls=calls, last=last: next(calls) == last,
            )  # fmt: skip
        assert search(world, tmp_path / str(last), (ACCURACY, MADDS, mine), config) == whole
        assert len(asked) == len(set(asked)) == whole.distinct
        assert len(world.evaluated) == len(set(world.evaluated))


def test_a_function_of_another_file_content_is_asked_again_and_the_supernet_is_not(world, tmp_path: Path) -> None:
    values = []
    for factor in (1, 3):
        mine = Objective(
            "mine", "min", "", function=lambda s, g, f=factor: f * spread(s, g), source=f"mine.py {factor}"
        )
        result = search(
            world, tmp_path / "a", (ACCURACY, mine), SearchConfig(searcher="random", population=9, generations=3)
        )
        values.append({c.genome: c.value("mine") for c in result.front})
        assert all(value == factor * spread(None, genome) for genome, value in values[-1].items())
    assert values[0].keys() == values[1].keys()
    assert len(world.evaluated) == len(set(world.evaluated)) == 27


@pytest.mark.slow
def test_a_search_without_it_does_not_see_what_it_gave(world, tmp_path: Path) -> None:
    plain = search(world, tmp_path / "plain", (ACCURACY, MADDS, PARAMS))
    mine = Objective("mine", "min", "", function=gives(math.nan), source="mine.py 1")
    search(world, tmp_path / "a", (ACCURACY, MADDS, mine))
    assert search(world, tmp_path / "a", (ACCURACY, MADDS, PARAMS)) == plain


# From a file ------------------------------------------------------------------------------------------------

FIVE_LINES = """
from fairnas.search import Objective
def kernels(space, genome):
    return sum(space.block(layer, choice).kernel for layer, choice in enumerate(genome))
energy = Objective("energy", "min", "mJ", bound=50, function=kernels)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "energy.py"
    path.write_text(FIVE_LINES)
    return path


def test_five_lines_of_a_user_are_an_objective(world, tmp_path: Path, file: Path) -> None:
    config = dataclasses.replace(CONFIG, objectives=("top1", f"{file}:energy", "madds"))
    result = search(world, tmp_path / "a", None, config)
    assert all(16 < candidate.value("energy") <= 50 for candidate in result.front)
    assert result.front


def test_the_example_in_the_docs_is_an_objective(world, file: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
    file.write_text(page.split("```python\n")[1].split("```")[0])
    (energy,) = objectives_from(SearchConfig(objectives=(f"{file}:energy",)))
    assert (energy.unit, energy.bound) == ("mJ", 50)
    assert energy.function is not None
    assert energy.function(world.space, (0,) * 8) == 24


def test_the_content_of_the_file_is_the_source(file: Path) -> None:
    config = SearchConfig(objectives=("top1", f"{file}:energy"))
    before = objectives_from(config)[1].source
    file.write_text(FIVE_LINES + "\n# a remark\n")
    assert before.startswith("energy.py ")
    assert objectives_from(config)[1].source != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("energy = 3", r"does not define an Objective with a function called 'energy'; see docs/search.md"),
        ("from fairnas.search import MADDS as energy", "does not define an Objective with a function"),
        ("1 / 0", "objective file .* raises ZeroDivisionError: division by zero"),
        ("raise SystemExit(2)", "raises SystemExit: 2"),
        ("import no_such_module", "raises ModuleNotFoundError"),
        (FIVE_LINES.replace('"energy"', '"loss"'), "defines 'loss', which fairnas has; give another name"),
        (FIVE_LINES.replace('"min"', '"down"'), "the direction of objective 'energy' is 'down'; give 'max' or 'min'"),
        (FIVE_LINES.replace('"energy"', '"genome"'), "an objective is called 'genome'; give letters"),
        (FIVE_LINES.replace('"energy"', '"my energy"'), "an objective is called 'my energy'"),
        (FIVE_LINES.replace("50", "'50'"), "bound of objective 'energy' is '50'; give a finite number or None"),
        (FIVE_LINES.replace("50", "50, best=9, worst=1"), "with direction 'min' best must be the smaller one"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        objectives_from(SearchConfig(objectives=("top1", f"{file}:energy")))
    assert "\n" not in str(caught.value)


def test_names_that_do_not_exist_or_stand_twice_are_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown objective 'madd'; did you mean 'madds'.*or give FILE.py:NAME"):
        objectives_from(SearchConfig(objectives=("top1", "madd")))
    with pytest.raises(ConfigError, match=r"there is no objective file .*none.py"):
        objectives_from(SearchConfig(objectives=("none.py:energy",)))
    copy = file.with_name("again.py")
    copy.write_text(FIVE_LINES)
    with pytest.raises(ConfigError, match=r"search\.objectives has two that are called 'energy'"):
        objectives_from(SearchConfig(objectives=(f"{file}:energy", f"{copy}:energy")))
    with pytest.raises(ConfigError, match=r"search\.objectives is empty"):
        SearchConfig(objectives=())


def test_a_bounded_quantity_is_an_objective() -> None:
    found = objectives_from(SearchConfig(objectives=("top1", "loss"), max_params=5e6))
    assert [(each.name, each.bound) for each in found] == [("top1", None), ("loss", None), ("params", 5e6)]


# Ranges -----------------------------------------------------------------------------------------------------


def test_a_declared_best_value_proves_that_a_bound_is_impossible(world) -> None:
    down = Objective("down", "min", "mJ", bound=2.0, function=spread, best=2.5)
    with pytest.raises(
        ConfigError, match=r"the bound of objective 'down' is 2 mJ; the smallest network .* has 2.5, give"
    ):
        check_bounds(world.space, (down,), cost_ranges(world.space, world.costs))
    up = Objective("up", "max", "h", bound=9.0, function=spread, best=8.0)
    with pytest.raises(
        ConfigError, match="the largest network of space 'digits' has 8, give less than that to have a choice"
    ):
        check_bounds(world.space, (up,), {})
    check_bounds(world.space, (dataclasses.replace(up, bound=8.0), dataclasses.replace(down, best=None)), {})


def test_what_is_known_of_ranges_is_not_estimated() -> None:
    declared = Objective("a", "min", "", function=spread, best=1.0, worst=5.0)
    share, down, up = ACCURACY, Objective("d", "min", ""), Objective("u", "max", "", function=spread, worst=0.0)
    objectives = (declared, share, MADDS, down, up)
    known = known_ranges(objectives, {"madds": (10, 20), "params": (1, 2)})
    assert known == {"madds": (10, 20), "params": (1, 2), "a": (1, 5), "top1": (0, 1)}
    rows = [{"a": 9, "top1": 0.5, "madds": 12, "d": d, "u": u} for d, u in ((4.0, 3.0), (6.0, 8.0))]
    candidates = [Candidate.of((n,), row) for n, row in enumerate([*rows, {"d": 99, "u": math.nan}])]
    ranges = estimated_ranges(objectives, known, candidates)
    # as far again on the better side; a declared end stays
    assert ranges == {**known, "d": (2.0, 6.0), "u": (0.0, 16.0)}
    assert estimated_ranges(objectives, known, []) == known
    assert reference_point(objectives, ranges) == (5, 0, 20, 6, 0)


def test_hypervolume_of_a_quantity_of_which_more_is_better() -> None:
    objectives = (Objective("u", "max", ""), MADDS)
    ranges = {"u": (10.0, 30.0), "madds": (0.0, 100.0)}
    at = lambda u, madds: Candidate.of((int(u),), {"u": u, "madds": madds})  # noqa: E731
    assert hypervolume([at(25, 50)], objectives, ranges) == pytest.approx(0.75 * 0.5)
    assert hypervolume([at(99, 0)], objectives, ranges) == pytest.approx(1)  # beyond the range counts as its end
    assert hypervolume([at(5, 50)], objectives, ranges) == 0


def test_the_merit_is_what_the_evaluator_gives_before_what_a_function_does() -> None:
    calm = Objective("calm", "max", "", function=spread)
    assert merit((calm, ACCURACY)) == "top1"
    assert merit((MADDS, calm)) == "calm"
    assert merit((MADDS,)) == "top1"


def test_a_loss_can_be_minimised(world, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, objectives=("loss", "madds"))
    result = search(world, tmp_path / "a", None, config)
    assert result.estimated == ("loss",)
    assert result.ranges["loss"][0] == 0
    assert result.hypervolume[-1] > 0


numbers = st.one_of(st.floats(-1e6, 1e6), st.integers(-100, 100), st.fractions(-5, 5))


@pytest.mark.slow
@given(st.dictionaries(st.integers(0, 5), numbers, min_size=1))
def test_any_real_number_is_a_value(values: dict) -> None:
    from fairnas.search.candidate import is_number

    assert all(is_number(value) for value in values.values())
    assert all(is_number(kind(3)) for kind in (np.float32, np.int64, Fraction, bool))


def test_a_searcher_alone_ignores_what_is_no_cost(world) -> None:
    """Roulette and the first population look at costs only: a function may take its time."""
    function, asked = counted(spread)
    objectives = (ACCURACY, MADDS, Objective("mine", "min", "", bound=3.0, function=function))
    for name in SEARCHERS:
        searcher = make_searcher(world.space, objectives, world.costs, SearchConfig(searcher=name, population=8), 0)
        genomes = searcher.ask()
        searcher.tell([Candidate.of(g, {**world.score(g), **world.costs(g), "mine": 2.0}) for g in genomes])
        assert len(searcher.ask()) == 8
    assert asked == []


@pytest.mark.parametrize("measure", ["top1", "balanced_accuracy"])
def test_accuracy_is_taken_out_by_what_it_is_measured_by_or_by_its_name(measure):
    config = SearchConfig()
    found = {each.name: each.text or each.name for each in objectives_from(config, measure)}
    assert found == {measure: "accuracy", "madds": "madds", "params": "params"}
    for name in (measure, "accuracy"):
        assert without_objectives(config, (name,), found).objectives == ("madds", "params")
