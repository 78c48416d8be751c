"""Pages of Figures 6 and 11 for made-up searches."""

import dataclasses
import json
import math
import re

import pytest

from fairnas.paper.figure_6_page import render_search_comparison
from fairnas.paper.figure_6_plots import accuracy_range, style_of
from fairnas.paper.figure_6_results import (
    Contender,
    SearchComparison,
    SeededSearch,
    claim_verdict,
    duels,
    mean_share_interval,
    operator_records,
)
from fairnas.search import ACCURACY, MADDS, SEARCHERS, Candidate
from fairnas.search.mutators import OperatorCounts
from fairnas.space import parse_genome

POPULATION = 10


def candidate(genome: str, top1: float, madds: float, params: float, generation: int) -> Candidate:
    return Candidate.of(parse_genome(genome), {"top1": top1, "madds": madds, "params": params}, generation)


FRONT = (candidate("00", 0.5, 1e6, 1e6, 0), candidate("01", 0.8, 2e6, 1e6, 1), candidate("11", 0.9, 3e6, 2e6, 1))
GOALS = (ACCURACY, dataclasses.replace(MADDS, bound=3e6))
OPERATORS = {
    "first": OperatorCounts(10, 5, 5),
    "random": OperatorCounts(40, 10, 5),
    "controller": OperatorCounts(60, 6, 3),
}


def searched(name, finals, operators=None, generations=4):
    """A searcher whose hypervolume grows evenly to its last values, one per seed."""
    searches = [
        SeededSearch(
            seed=7 + number,
            evaluations=POPULATION * generations,
            distinct=30,
            failed=0,
            hypervolume=tuple(0.5 * final * (n + 1) / generations for n in range(generations)),
            front=FRONT,
            operators=operators or {},
        )
        for number, final in enumerate(finals)
    ]
    return Contender(name, tuple(searches))


def comparison(*contenders, is_true=True):
    return SearchComparison(
        contenders=contenders,
        population=POPULATION,
        generations=4,
        best=FRONT,
        best_volume=0.5,
        is_true=is_true,
        space="toy",
        searched="a toy",
        accuracy="one-shot top-1",
        measure="top1",
        objectives=GOALS,
        command="fairnas figure 6",
        config_text="{}",
        versions={"python": "3"},
    )


def plain(text):
    return text.replace("\u00a0", " ").replace("\u2212", "-")


@pytest.mark.parametrize(
    ("ours", "rivals", "status", "answer"),
    [
        (
            (0.99, 0.98, 0.99),
            {"nsga2": (0.9, 0.91, 0.9), "random": (0.5, 0.6, 0.55)},
            "good",
            "Holds: moremnas is ahead of nsga2 and random with every seed (n = 3 seeds)",
        ),
        (
            (0.90, 0.95, 0.99),
            {"nsga2": (0.88, 0.93, 0.97), "random": (0.5, 0.6, 0.55)},
            "mixed",
            "Holds narrowly: moremnas is ahead of nsga2 and random, "
            "but single seeds of nsga2 reach its own (n = 3 seeds)",
        ),
        (
            (0.90, 0.95, 0.99),
            {"nsga2": (0.95, 0.93, 0.97), "random": (0.5, 0.6, 0.55)},
            "open",
            "Undecided: these seeds cannot tell moremnas from nsga2; it is ahead of random (n = 3 seeds)",
        ),
        (
            (0.90, 0.91, 0.90),
            {"nsga2": (0.99, 0.98, 0.99), "random": (0.90, 0.92, 0.89)},
            "bad",
            "Does not hold: moremnas is behind nsga2 (n = 3 seeds)",
        ),
        (
            (0.90, 0.91, 0.90),
            {"nsga2": (0.99, 0.98, 0.99), "random": (0.5, 0.52, 0.53)},
            "bad",
            "Does not hold: moremnas is behind nsga2; it is ahead of random (n = 3 seeds)",
        ),
        ((0.9,), {"nsga2": (0.5,)}, "open", "Undecided: these seeds cannot tell moremnas from nsga2 (n = 1 seed)"),
    ],
)
def test_the_claim_is_judged_by_the_numbers(ours, rivals, status, answer):
    found = comparison(searched("moremnas", ours), *(searched(name, finals) for name, finals in rivals.items()))
    verdict = claim_verdict(found)
    assert (verdict.status, plain(verdict.answer)) == (status, answer)
    assert len([line for line in verdict.sentences if line.startswith("moremnas minus")]) == len(rivals)


def test_without_the_papers_searcher_or_without_rivals_nothing_is_judged():
    for found in (comparison(searched("nsga2", (0.9, 0.8))), comparison(searched("moremnas", (0.9, 0.8)))):
        verdict = claim_verdict(found)
        assert (verdict.status, verdict.answer) == ("open", "Nothing to judge")


def test_evaluations_to_the_goal_count_to_the_end_of_the_generation():
    contender = searched("moremnas", (1.0, 0.9))
    found = comparison(contender)
    first, second = contender.searches
    assert found.evaluations == (10, 20, 30, 40)
    assert found.shares(first) == pytest.approx((0.25, 0.5, 0.75, 1.0))
    assert found.reached(first) == 40
    assert found.reached(second) == math.inf
    early = dataclasses.replace(first, hypervolume=(0.1, 0.4955, 0.5, 0.5))
    assert found.reached(early) == 20


def test_a_search_that_ran_out_of_networks_stays_where_it_was():
    search = dataclasses.replace(searched("random", (1.0,)).searches[0], hypervolume=(0.25, 0.5))
    assert comparison(searched("random", (1.0,))).shares(search) == (0.5, 1.0, 1.0, 1.0)


def test_duels_are_fought_seed_by_seed():
    ours, rival = searched("moremnas", (1.0, 1.0, 0.9)), searched("nsga2", (0.9, 1.0, 1.0))
    (duel,) = duels(comparison(ours, rival))
    assert (duel.rival, duel.sooner, duel.later) == ("nsga2", 1, 1)
    assert duel.final.difference == pytest.approx(0, abs=1e-12)
    assert duel.whole.difference == pytest.approx(0, abs=1e-12)
    assert duel.standing == "open"


def test_operators_are_counted_over_seeds_without_the_first_generation():
    contender = searched("moremnas", (0.9, 0.8), OPERATORS)
    controller, random = operator_records(contender)
    assert (controller.name, controller.tally, controller.share) == ("controller", OperatorCounts(120, 12, 6), 0.6)
    assert controller.survival == pytest.approx(0.1)
    assert controller.against_random.difference == pytest.approx(-0.15)
    assert random.against_random is None
    sentences = claim_verdict(comparison(contender, searched("nsga2", (0.9, 0.8)))).sentences
    assert "controller 10.0 % (of 120) and random 25.0 % (of 80)" in plain(sentences[-2])
    assert "controller less often than those of random mutation" in sentences[-1]


def test_no_share_is_larger_than_the_best():
    assert mean_share_interval([1.0, 0.9])[1] == 1
    assert mean_share_interval([0.5]) is None


def test_each_searcher_has_a_style_of_its_own():
    assert len({style_of(name) for name in SEARCHERS}) == len(SEARCHERS)


def test_the_axis_of_accuracy_leaves_out_what_is_far_below():
    found = comparison(searched("moremnas", (1.0,)))
    assert accuracy_range(found) == pytest.approx((0.5, 0.9))
    light = (candidate("22", 0.1, 1e5, 1e5, 0), *FRONT, candidate("12", 0.91, 4e6, 2e6, 1))
    low, high = accuracy_range(dataclasses.replace(found, best=light))
    assert (low, high) == pytest.approx((0.8 - 3 * 0.11, 0.91))


def figures_of(page):
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_shows_the_numbers_and_draws_means_with_their_intervals():
    ours, rival = searched("moremnas", (1.0, 0.98), OPERATORS), searched("random", (0.6, 0.59))
    page = render_search_comparison(comparison(ours, rival))
    text = plain(page)
    assert "Holds: moremnas is ahead of random with every seed (n = 2 seeds)" in text
    assert "multiply-adds up to 3.00 M" in text
    assert "The true front is known" in text
    assert "99.00 (86.29 to 100.00)" in text
    low, high, mean = figures_of(page)["hypervolume"]["data"][:3]
    assert mean["x"] == [10, 20, 30, 40]
    assert mean["y"][-1] == pytest.approx(99)
    assert (low["y"][-1], high["y"][-1]) == (pytest.approx(86.2938, abs=1e-3), 100)
    fronts = figures_of(page)["fronts"]["data"]
    assert [trace["name"] for trace in fronts] == ["true front", "random", "moremnas"]
    assert fronts[0]["y"] == [50, 80, 90]
    gap = figures_of(page)["gap"]["data"][0]
    assert gap["y"] == pytest.approx([75.25, 50.5, 25.75, 1.0])
    assert "best front known" in render_search_comparison(comparison(ours, rival, is_true=False))
