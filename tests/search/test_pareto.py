import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config import SearchConfig
from fairnas.pipeline.search_stage import spread_over_front
from fairnas.search import (
    ACCURACY,
    MADDS,
    PARAMS,
    Candidate,
    hypervolume,
    objectives_from,
    pareto_front,
    reference_point,
    select_evenly,
)

OBJECTIVES = (ACCURACY, MADDS, PARAMS)
RANGES = {"madds": (100.0, 200.0), "params": (10.0, 20.0)}


def candidate(number: int, top1: float, madds: float, params: float = 10, generation: int = 0) -> Candidate:
    return Candidate.of((number,), {"top1": top1, "madds": madds, "params": params}, generation)


few = st.integers(0, 3)
candidates = st.lists(st.builds(lambda a, m, p: (a / 3, 100 + 33 * m, 10 + 3 * p), few, few, few), max_size=25).map(
    lambda rows: [candidate(number, *row) for number, row in enumerate(rows)]
)


def dominates(a: Candidate, b: Candidate) -> bool:
    pairs = [(o.minimised(a.value(o.name)), o.minimised(b.value(o.name))) for o in OBJECTIVES]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


@pytest.mark.slow
@given(candidates)
@settings(deadline=None)
def test_the_front_is_what_nothing_dominates(given: list[Candidate]) -> None:
    expected = {c for c in given if not any(dominates(other, c) for other in given)}
    front = pareto_front(given, OBJECTIVES)
    assert len(front) == len(set(front))
    assert set(front) == expected
    assert [c.value("madds") for c in front] == sorted(c.value("madds") for c in front)
    assert pareto_front(reversed(given), OBJECTIVES) == front
    assert pareto_front(front, OBJECTIVES) == front


def test_only_scored_candidates_within_the_bounds_count() -> None:
    nan = float("nan")
    rows = [
        candidate(0, 0.9, 180),
        candidate(1, 0.5, 120),
        Candidate.of((2,), {"madds": 100, "params": 10}),  # never scored
        Candidate.of((3,), {"top1": 0.99, "loss": nan, "madds": 100, "params": 10}),  # failed
    ]
    assert pareto_front(rows, OBJECTIVES) == (rows[1], rows[0])
    assert pareto_front(rows, objectives_from(SearchConfig(max_madds=150))) == (rows[1],)
    assert pareto_front(rows[2:], OBJECTIVES) == ()


def test_the_same_network_stands_once_and_the_first_mention_counts() -> None:
    first, again = candidate(0, 0.5, 120, generation=1), candidate(0, 0.5, 120, generation=5)
    assert pareto_front([first, again], OBJECTIVES) == (first,)
    equal = candidate(1, 0.5, 120)
    assert set(pareto_front([first, equal], OBJECTIVES)) == {first, equal}


def test_hypervolume_of_boxes_by_hand() -> None:
    assert hypervolume((), OBJECTIVES, RANGES) == 0
    assert hypervolume((candidate(0, 1.0, 100, 10),), OBJECTIVES, RANGES) == pytest.approx(1)
    assert hypervolume((candidate(0, 0.5, 150, 15),), OBJECTIVES, RANGES) == pytest.approx(1 / 8)
    two = (candidate(0, 0.5, 150, 15), candidate(1, 0.25, 125, 15))
    # boxes of 1/8 and 3/32, which share 1/4 * 1/2 * 1/2
    assert hypervolume(two, OBJECTIVES, RANGES) == pytest.approx(1 / 8 + 3 / 32 - 1 / 16)
    assert hypervolume((candidate(0, 0.9, 200, 10),), OBJECTIVES, RANGES) == 0
    assert reference_point(OBJECTIVES, RANGES) == (0.0, 200.0, 20.0)


def test_hypervolume_where_all_networks_cost_the_same() -> None:
    ranges = {"madds": (100.0, 100.0), "params": (10.0, 10.0)}
    assert hypervolume((candidate(0, 0.25, 100, 10),), OBJECTIVES, ranges) == pytest.approx(0.25)


@given(candidates, st.integers(0, 24))
@settings(deadline=None)
def test_hypervolume_never_falls_when_candidates_join(given: list[Candidate], cut: int) -> None:
    part = hypervolume(pareto_front(given[:cut], OBJECTIVES), OBJECTIVES, RANGES)
    whole = hypervolume(pareto_front(given, OBJECTIVES), OBJECTIVES, RANGES)
    assert 0 <= part <= whole + 1e-12
    assert whole <= 1


def test_selection_at_equal_distances_heaviest_first() -> None:
    front = [candidate(n, 0.1 * n, madds) for n, madds in enumerate((100, 110, 120, 149, 190, 200))]
    assert [c.value("madds") for c in select_evenly(front, 3)] == [200, 149, 100]
    assert [c.value("madds") for c in select_evenly(front, 2)] == [200, 100]
    assert [c.value("madds") for c in select_evenly(front[::-1], 5)] == [200, 190, 149, 120, 100]


def test_selection_never_takes_one_twice_and_keeps_the_ends() -> None:
    clustered = [candidate(n, 0.5, madds) for n, madds in enumerate((100, 250, 290, 299, 300))]
    # the target 166.7 takes 100, and the last target, 100, what is nearest of the rest
    assert [c.value("madds") for c in select_evenly(clustered, 4)] == [300, 290, 250, 100]


def test_selection_breaks_ties_by_accuracy() -> None:
    front = [candidate(0, 0.1, 100), candidate(1, 0.3, 140), candidate(2, 0.6, 160), candidate(3, 0.9, 200)]
    assert [c.genome for c in select_evenly(front, 3)] == [(3,), (2,), (0,)]


def test_selection_from_short_fronts_and_of_a_single_network() -> None:
    front = [candidate(0, 0.1, 100), candidate(1, 0.9, 150), candidate(2, 0.8, 200)]
    assert select_evenly(front, 3) == select_evenly(front, 9) == tuple(front[::-1])
    assert select_evenly(front, 1) == (front[1],)
    assert select_evenly((), 3) == ()


@given(candidates, st.integers(1, 8))
@settings(deadline=None)
def test_selection_gives_as_many_distinct_ones_as_there_are(given: list[Candidate], count: int) -> None:
    front = pareto_front(given, OBJECTIVES)
    chosen = select_evenly(front, count)
    assert len(set(chosen)) == len(chosen) == min(count, len(front))
    assert set(chosen) <= set(front)
    if count > 1 and front:
        assert chosen[0].value("madds") == front[-1].value("madds")
        assert chosen[-1].value("madds") == front[0].value("madds")
    assert [c.value("madds") for c in chosen] == sorted((c.value("madds") for c in chosen), reverse=True)


def test_a_short_front_of_accuracy_and_madds_is_selected_whole_and_then_filled_up() -> None:
    rows = {
        1: (0.9, 100, 100),
        2: (0.7, 50, 100),
        3: (0.8, 120, 60),
        4: (0.6, 90, 50),
        5: (0.5, 70, 40),
        6: (0.4, 60, 30),
    }
    front = [candidate(number, *row) for number, row in rows.items()]
    chosen = {count: [each.genome for each in spread_over_front(front, count)] for count in (1, 2, 3, 4, 9)}
    one, two, *_ = genomes = [each.genome for each in front]
    assert chosen[1] == [one]
    assert chosen[2] == [one, two]
    assert {one, two} < set(chosen[3])
    assert {one, two} < set(chosen[4])
    assert sorted(chosen[9]) == sorted(genomes)
    madds = {each.genome: each.value("madds") for each in front}
    for found in chosen.values():
        assert [madds[genome] for genome in found] == sorted((madds[genome] for genome in found), reverse=True)


def test_a_front_long_enough_is_spread_at_equal_distances() -> None:
    front = [candidate(number, 0.5 + number / 100, 100 * number, 1) for number in range(1, 10)]
    front.append(candidate(20, 0.3, 5000, 0.5))  # there for its few parameters alone
    assert [each.value("madds") for each in spread_over_front(front, 3)] == [900, 500, 100]
