import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config import SearchConfig
from fairnas.config.quantities import parse_quantity
from fairnas.errors import ConfigError
from fairnas.search import (
    ACCURACY,
    MADDS,
    PARAMS,
    Candidate,
    Objective,
    check_bounds,
    cost_ranges,
    objectives_from,
    scarcities,
)
from fairnas.search.objectives import BUILT_IN, accuracy_by, pays_with
from fairnas.search.ranges import smallest


def test_accuracy_is_what_the_run_measures() -> None:
    names = lambda measure, *objectives: [  # noqa: E731
        each.name for each in objectives_from(SearchConfig(objectives=objectives), measure)
    ]
    assert names("top1", "accuracy", "madds") == ["top1", "madds"]
    assert names("balanced_accuracy", "madds", "accuracy", "top1") == ["madds", "balanced_accuracy", "top1"]
    assert names("balanced_accuracy", "accuracy", "balanced_accuracy") == ["balanced_accuracy"], "named twice"
    assert [each.name for each in objectives_from(SearchConfig())] == ["top1", "madds", "params"]
    given = dataclasses.replace(accuracy_by("balanced_accuracy"), text="accuracy")  # the name by which it was asked for
    assert objectives_from(SearchConfig(), "balanced_accuracy")[0] == given
    assert {each for each in BUILT_IN if pays_with(BUILT_IN[each])} == {"madds", "params", "latency"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("330M", 330e6), ("4.5M", 4.5e6), ("1.2G", 1.2e9), ("900k", 9e5), ("900K", 9e5), ("330e6", 330e6),
     (" 12 ", 12.0), (".5k", 500.0), ("4.35M", 4350000.0)],
)  # fmt: skip
def test_quantities_are_read_exactly(text: str, value: float) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "M", "330 M", "330m", "330MB", "-1M", "0", "0M", "nan", "inf", "1e999", "1e5M", "٣M"]
)
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a quantity.*such as 330M") as caught:
        parse_quantity(text)
    assert f"'{text}'" in str(caught.value)


def test_the_configuration_gives_the_papers_objectives_with_its_bounds() -> None:
    objectives = objectives_from(SearchConfig(max_madds=330e6))
    assert [(o.name, o.direction, o.bound) for o in objectives] == [
        ("top1", "max", None), ("madds", "min", 330e6), ("params", "min", None),
    ]  # fmt: skip
    assert objectives_from(SearchConfig()) == (dataclasses.replace(ACCURACY, text="accuracy"), MADDS, PARAMS)


def test_a_violation_is_relative_to_the_bound() -> None:
    upper, lower = Objective("madds", "min", "", 200.0), Objective("top1", "max", "", 0.5)
    assert [upper.violation(value) for value in (100, 200, 250)] == [0, 0, 0.25]
    assert [lower.violation(value) for value in (0.9, 0.5, 0.25)] == [0, 0, 0.5]
    assert upper.violation(math.nan) == math.inf
    assert MADDS.violation(math.nan) == 0
    assert Objective("x", "min", "", 0.0).violation(3) == 3


def test_cost_ranges_are_those_of_all_genomes(tiny_world) -> None:
    every = [tiny_world.costs(genome) for genome in tiny_world.space.enumerate()]
    expected = {name: (min(c[name] for c in every), max(c[name] for c in every)) for name in ("madds", "params")}
    assert cost_ranges(tiny_world.space, tiny_world.costs) == expected


def test_cost_ranges_with_layers_of_different_choices(uneven_world) -> None:
    ranges = cost_ranges(uneven_world.space, uneven_world.costs)
    assert ranges["madds"] == (uneven_world.lightest, uneven_world.heaviest)


def test_a_bound_that_nothing_meets_names_the_smallest_possible_value(world) -> None:
    objectives = objectives_from(SearchConfig(max_madds=world.lightest - 1))
    with pytest.raises(ConfigError) as caught:
        check_bounds(world.space, objectives, cost_ranges(world.space, world.costs))
    assert str(caught.value) == (
        f"search.max_madds is {world.lightest - 1:,} multiply-adds; "
        f"the smallest network of space 'digits' has {world.lightest:,}, give more than that to have a choice, "
        "or begin a run with smaller images (--data.image-size) or fewer channels (--width)"
    )


def test_a_bound_that_one_network_meets_is_accepted(world) -> None:
    objectives = objectives_from(SearchConfig(max_madds=world.lightest))
    check_bounds(world.space, objectives, cost_ranges(world.space, world.costs))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["madds", "params"])
def test_the_networks_that_have_least_of_a_cost_are_found_in_order(uneven_world, tiny_world, name) -> None:
    for each, count in ((tiny_world, 9), (tiny_world, 99), (uneven_world, 40)):
        different = {each.space.canonical(genome) for genome in each.space.enumerate()}
        expected = sorted(each.costs(genome)[name] for genome in different)
        assert smallest(each.space, each.costs, name, count) == expected[:count]


def test_a_bound_that_hardly_any_network_meets_is_told_with_one_that_leaves_a_choice(tiny_world) -> None:
    space, costs = tiny_world.space, tiny_world.costs
    values = smallest(space, costs, "madds", 10)

    def told(bound: float, wanted: int = 10) -> tuple[str, ...]:
        return scarcities(space, objectives_from(SearchConfig(max_madds=bound)), costs, wanted)

    assert told(values[0]) == (
        f"only 1 network meets search.max_madds {values[0]:,}, which leaves little to choose from; "
        f"10 networks have up to {values[9]:,} multiply-adds",
    )
    met = sum(value <= values[4] for value in values)
    assert told(values[4])[0].startswith(f"only {met} networks meet search.max_madds")
    assert told(values[9]) == scarcities(space, objectives_from(SearchConfig()), costs, 10) == ()
    assert told(1e9, wanted=99) == ()  # the space has no more


def test_a_candidate_is_a_value() -> None:
    measured: Any = {"top1": np.float32(0.5), "madds": np.int64(7), "loss": math.inf}
    a = Candidate.of((1, 2), measured, 3)
    b = Candidate.of((1, 2), {"madds": 7, "loss": float("nan"), "top1": 0.5}, 3)
    assert a == b
    assert hash(a) == hash(b)
    assert a.failed
    assert type(a.value("madds")) is int
    assert a.value("top1") == 0.5
    assert dict(a.measures).keys() == {"top1", "madds", "loss"}
    with pytest.raises(KeyError):
        a.value("top5")
    with pytest.raises(TypeError):
        a.measures["top1"] = 1.0  # type: ignore[index]
    assert not Candidate.of((1,), {"madds": 7}).failed


@given(st.lists(st.floats(0.001, 1e12), min_size=1, max_size=3), st.sampled_from(["k", "M", "G", ""]))
@settings(deadline=None)
def test_a_quantity_with_a_suffix_is_the_nearest_float(numbers: list[float], suffix: str) -> None:
    for number, digits in itertools.product(numbers, (0, 2)):
        text = f"{number:.{digits}f}"
        if float(text):
            assert parse_quantity(text + suffix) == float(f"{text}e{ {'': 0, 'k': 3, 'M': 6, 'G': 9}[suffix] }")
