"""Results of several searchers over the same seeds, and the conclusions about them (paper 4.3.2, Figure 6).

A seed is one search. Hypervolumes are shares of the best one known, which is the true one if every network of the
space was scored. Searchers are compared seed by seed.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fairnas.analysis import Contrast, contrast
from fairnas.analysis.contrasts import mean_interval
from fairnas.config import Measure
from fairnas.paper.training_comparison import signed_points
from fairnas.report.format import counted, interval, listed, percent, whole
from fairnas.report.verdicts import Verdict
from fairnas.search import Candidate, Objective
from fairnas.search.mutators import OperatorCounts

OURS = "moremnas"
"""Searcher of the paper's claim."""
GOAL = 0.99
"""Share of the best known hypervolume that a searcher should reach."""
DIGITS = 2
"""Decimal places of a hypervolume in per cent of the best: good searchers differ in the second."""
_FEW = 30
"""Operators with fewer children than this, over all seeds, are not reported."""

Standing = Literal["clearly ahead", "ahead", "open", "behind"]


@dataclass(frozen=True)
class SeededSearch:
    """One search of one searcher."""

    seed: int
    evaluations: int
    """Genomes evaluated, including repeats."""
    distinct: int
    """Different networks among them."""
    failed: int
    hypervolume: tuple[float, ...]
    """Hypervolume after each generation; fewer than configured if the space ran out of networks."""
    front: tuple[Candidate, ...]
    operators: Mapping[str, OperatorCounts]


@dataclass(frozen=True)
class Contender:
    """A searcher with all its seeds in order."""

    name: str
    searches: tuple[SeededSearch, ...]


@dataclass(frozen=True)
class SearchComparison:
    """Content of the page of Figure 6."""

    contenders: tuple[Contender, ...]
    """Searchers, all with the same seeds."""
    population: int
    generations: int
    best: tuple[Candidate, ...]
    """Best front known, over all searches and earlier scores."""
    best_volume: float
    """Hypervolume of the best front, 0 to 1."""
    is_true: bool
    """True if every network of the space that meets the bounds was scored, so that the best front is the true one."""
    space: str
    searched: str
    """Description of what was searched, for people."""
    accuracy: str
    """Name of the accuracy."""
    measure: Measure
    """Name of the measure in candidates."""
    objectives: tuple[Objective, ...]
    """Objectives and their bounds."""
    command: str
    config_text: str
    versions: Mapping[str, str]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of all contenders."""
        return tuple(search.seed for search in self.contenders[0].searches)

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Largest number of evaluations until the end of each generation; fewer if networks run out."""
        return tuple(self.population * (number + 1) for number in range(self.generations))

    @property
    def goal_name(self) -> str:
        """Name of the front whose hypervolume is the reference."""
        return "the true front" if self.is_true else "the best front known"

    def shares(self, search: SeededSearch) -> tuple[float, ...]:
        """Shares of the best hypervolume after every generation; the last one is kept if networks run out."""
        found = [volume / self.best_volume if self.best_volume else 0.0 for volume in search.hypervolume]
        return tuple(found + found[-1:] * (self.generations - len(found)))

    def finals(self, contender: Contender) -> list[float]:
        """Last share of each seed."""
        return [self.shares(search)[-1] for search in contender.searches]

    def means(self, contender: Contender) -> list[float]:
        """Mean share over all generations, per seed: the quality of a search stopped at a random generation."""
        return [statistics.fmean(self.shares(search)) for search in contender.searches]

    def reached(self, search: SeededSearch) -> float:
        """Evaluations to `GOAL`, until the end of the generation; infinite if it was never reached."""
        within = (n for n, share in zip(self.evaluations, self.shares(search), strict=True) if share >= GOAL)
        return next(within, math.inf)


@dataclass(frozen=True)
class Duel:
    """Comparison of the paper's searcher with another, seed by seed."""

    rival: str
    final: Contrast
    """Contrast of the last shares; positive if the paper's searcher is ahead."""
    whole: Contrast
    """Contrast of the means over all generations."""
    sooner: int
    """Number of seeds with which the paper's searcher reached the goal first, or alone."""
    later: int

    @property
    def standing(self) -> Standing:
        """Standing of the paper's searcher: decided by the interval; overlapping seeds make it less clear."""
        if self.final.interval is None:
            return "open"
        low, high = self.final.interval
        if high < 0:
            return "behind"
        if low <= 0:
            return "open"
        return "ahead" if self.final.overlap else "clearly ahead"


def duels(comparison: SearchComparison) -> tuple[Duel, ...]:
    """Comparisons of the paper's searcher with each of the others; none if it is not among them."""
    by_name = {each.name: each for each in comparison.contenders}
    if OURS not in by_name:
        return ()
    ours = by_name.pop(OURS)
    found = []
    for rival in by_name.values():
        final = contrast(comparison.finals(ours), comparison.finals(rival))
        whole_search = contrast(comparison.means(ours), comparison.means(rival))
        assert final is not None, "every search ends with a hypervolume"
        assert whole_search is not None, "every search has a generation"
        when = [
            (comparison.reached(a), comparison.reached(b)) for a, b in zip(ours.searches, rival.searches, strict=True)
        ]
        found.append(Duel(rival.name, final, whole_search, sum(a < b for a, b in when), sum(a > b for a, b in when)))
    return tuple(found)


def claim_verdict(comparison: SearchComparison) -> Verdict:
    """Verdict on the claim that MoreMNAS "generally outperforms other mainstream searching methods" (Figure 6)."""
    against = duels(comparison)
    if not against:
        why = f"The claim is about {OURS} and others; searched with {listed([c.name for c in comparison.contenders])}."
        return Verdict("open", "Nothing to judge", (why,))
    sentences = [_finals_sentence(comparison), *map(_duel_sentence, against)]
    status, answer = _judged(against)
    return Verdict(status, answer, (*sentences, _reached_sentence(comparison), *why_sentences(comparison)))


def _judged(against: Sequence[Duel]) -> tuple[Literal["good", "mixed", "bad", "open"], str]:
    """Verdict in one sentence, never stronger than the weakest of the comparisons."""

    def names(*standings: Standing) -> list[str]:
        return [duel.rival for duel in against if duel.standing in standings]

    n = f"n\u00a0=\u00a0{counted(against[0].final.n, 'seed')}"
    ahead = names("ahead", "clearly ahead")
    also = f"; it is ahead of {listed(ahead)}" if ahead else ""
    if names("behind"):
        return "bad", f"Does not hold: {OURS} is behind {listed(names('behind'))}{also} ({n})"
    if names("open"):
        return "open", f"Undecided: these seeds cannot tell {OURS} from {listed(names('open'))}{also} ({n})"
    if names("ahead"):
        overlapping = f"but single seeds of {listed(names('ahead'))} reach its own"
        return "mixed", f"Holds narrowly: {OURS} is ahead of {listed(ahead)}, {overlapping} ({n})"
    return "good", f"Holds: {OURS} is ahead of {listed(ahead)} with every seed ({n})"


def _finals_sentence(comparison: SearchComparison) -> str:
    parts = [f"{each.name} {over_seeds(comparison.finals(each))}" for each in comparison.contenders]
    bounds = ", 95\u00a0% intervals" if len(comparison.seeds) > 1 else ""
    return (
        f"Hypervolume after {whole(comparison.evaluations[-1])} evaluations, in per cent of that of "
        f"{comparison.goal_name} (means over seeds{bounds}): {listed(parts)}."
    )


def mean_share_interval(shares: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of a mean of shares; None with one seed. Cut off at 1, because no share can be larger."""
    bounds = mean_interval(shares)
    return None if bounds is None else (max(bounds[0], 0.0), min(bounds[1], 1.0))


def over_seeds(shares: Sequence[float]) -> str:
    """Mean with its interval, in per cent."""
    mean = f"{100 * statistics.fmean(shares):.{DIGITS}f}"
    bounds = mean_share_interval(shares)
    return mean if bounds is None else f"{mean} ({interval(*(f'{100 * each:.{DIGITS}f}' for each in bounds))})"


def _duel_sentence(duel: Duel) -> str:
    points = f"{OURS} minus {duel.rival}, in the end: {signed_points(duel.final.difference, DIGITS)} points"
    if duel.final.interval is None:
        return f"{points} with one seed, which says nothing about chance."
    low, high = (signed_points(bound, DIGITS) for bound in duel.final.interval)
    words = {
        "clearly ahead": "no seed of the one reaches into those of the other",
        "ahead": "single seeds overlap",
        "open": "the interval holds zero",
        "behind": "the paper's searcher is behind",
    }
    return f"{points} (95\u00a0% interval {low} to {high}); {words[duel.standing]}."


def _reached_sentence(comparison: SearchComparison) -> str:
    parts = []
    for each in comparison.contenders:
        when = [comparison.reached(search) for search in each.searches]
        middle = statistics.median_high(when)
        count = f"{sum(map(math.isfinite, when))} of {len(when)} seeds"
        parts.append(
            f"{each.name} {whole(middle)} ({count})" if math.isfinite(middle) else f"{each.name} never ({count})"
        )
    goal = f"{100 * GOAL:.0f}\u00a0% of the hypervolume of {comparison.goal_name}"
    return f"Evaluations to {goal}, medians: {listed(parts)}."


# Operators ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OperatorRecord:
    """Results of the children of one operator of a searcher, over all seeds."""

    name: str
    tally: OperatorCounts
    share: float
    """Share of all children after the first generation."""
    against_random: Contrast | None
    """Survival minus that of random mutation, seed by seed; None if one of them had no children."""

    @property
    def survival(self) -> float:
        """Share of its children that survived."""
        return self.tally.survived / self.tally.children


def operator_records(contender: Contender) -> tuple[OperatorRecord, ...]:
    """Operators of a searcher, the most frequent first. The random first generation is not an operator."""
    totals: dict[str, OperatorCounts] = {}
    for search in contender.searches:
        for name, tally in search.operators.items():
            if name != "first" and tally.children:
                old = totals.get(name, OperatorCounts())
                totals[name] = OperatorCounts(
                    old.children + tally.children, old.survived + tally.survived, old.on_front + tally.on_front
                )
    children = sum(each.children for each in totals.values())
    random = _survivals(contender, "random")
    return tuple(
        OperatorRecord(
            name,
            tally,
            tally.children / children,
            contrast(_survivals(contender, name), random) if name != "random" else None,
        )
        for name, tally in sorted(totals.items(), key=lambda item: (-item[1].children, item[0]))
    )


def _survivals(contender: Contender, operator: str) -> list[float | None]:
    """Share of an operator's children that survived, per seed."""
    tallies = [search.operators.get(operator, OperatorCounts()) for search in contender.searches]
    return [tally.survived / tally.children if tally.children else None for tally in tallies]


def why_sentences(comparison: SearchComparison) -> tuple[str, ...]:
    """Results of the operators of the paper's searcher, and those that do worse than random mutation."""
    ours = next((each for each in comparison.contenders if each.name == OURS), None)
    told = [each for each in operator_records(ours) if each.tally.children >= _FEW] if ours else []
    if not told:
        return ()
    parts = [f"{each.name} {percent(each.survival)} (of {whole(each.tally.children)})" for each in told]
    sentences = [f"Of the children of its operators lived on: {listed(parts)}."]
    if not any(each.name == "random" for each in told):
        return tuple(sentences)
    sides: dict[str, list[str]] = {"more": [], "less": [], "as": []}
    for each in told:
        if each.name != "random":
            sides[_side(each.against_random)].append(each.name)
    words = {
        "more": "more often than those of random mutation",
        "less": "less often than those of random mutation",
        "as": "as often as those of random mutation, as far as these seeds tell",
    }
    said = [f"{listed(names)} {words[side]}" for side, names in sides.items() if names]
    if said:
        sentences.append(f"Children lived on by operator, seed by seed: {'; '.join(said)}.")
    return tuple(sentences)


def _side(found: Contrast | None) -> Literal["more", "less", "as"]:
    if found is None or found.interval is None:
        return "as"
    low, high = found.interval
    return "more" if low > 0 else "less" if high < 0 else "as"
