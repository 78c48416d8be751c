"""What several searchers came to over the same seeds, and what may be said about it (paper 4.3.2, Figure 6).

A seed is one search. Hypervolumes are shares of the best one known, which is the truth where every network of the
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
"""The searcher that the paper's claim is about."""
GOAL = 0.99
"""Share of the best hypervolume known that a searcher should reach."""
DIGITS = 2
"""Behind the point, of a hypervolume in per cent of the best: good searchers differ in the second one."""
_FEW = 30
"""Children of an operator, over all seeds, about which nothing is said."""

Standing = Literal["clearly ahead", "ahead", "open", "behind"]


@dataclass(frozen=True)
class SeededSearch:
    """One search of one searcher."""

    seed: int
    evaluations: int
    """Genomes asked for, repeats included."""
    distinct: int
    """Networks among them."""
    failed: int
    hypervolume: tuple[float, ...]
    """After each generation; fewer than configured if the space ran out of networks."""
    front: tuple[Candidate, ...]
    operators: Mapping[str, OperatorCounts]


@dataclass(frozen=True)
class Contender:
    """A searcher with all its seeds in order."""

    name: str
    searches: tuple[SeededSearch, ...]


@dataclass(frozen=True)
class SearchComparison:
    """Everything that the page of Figure 6 shows."""

    contenders: tuple[Contender, ...]
    """All with the same seeds."""
    population: int
    generations: int
    best: tuple[Candidate, ...]
    """The best front known: of all searches, and of what was known before."""
    best_volume: float
    """Its hypervolume, 0 to 1."""
    is_true: bool
    """Whether every network of the space that meets the bounds was scored, so that the best front is the true one."""
    space: str
    searched: str
    """What was searched, in words."""
    accuracy: str
    """What is called accuracy."""
    measure: Measure
    """The same by its name in candidates."""
    objectives: tuple[Objective, ...]
    """What was optimised, within which bounds."""
    command: str
    config_text: str
    versions: Mapping[str, str]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of all contenders."""
        return tuple(search.seed for search in self.contenders[0].searches)

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Genomes that a search may ask for until the end of each generation; one that runs out asks for fewer."""
        return tuple(self.population * (number + 1) for number in range(self.generations))

    @property
    def goal_name(self) -> str:
        """What hypervolumes are shares of."""
        return "the true front" if self.is_true else "the best front known"

    def shares(self, search: SeededSearch) -> tuple[float, ...]:
        """Of the best hypervolume, after every generation; a search that ran out of networks stays where it was."""
        found = [volume / self.best_volume if self.best_volume else 0.0 for volume in search.hypervolume]
        return tuple(found + found[-1:] * (self.generations - len(found)))

    def finals(self, contender: Contender) -> list[float]:
        """The last share of each seed."""
        return [self.shares(search)[-1] for search in contender.searches]

    def means(self, contender: Contender) -> list[float]:
        """Per seed, the mean share over all generations: how good a search was whenever it might have been stopped."""
        return [statistics.fmean(self.shares(search)) for search in contender.searches]

    def reached(self, search: SeededSearch) -> float:
        """Evaluations until `GOAL`, to the end of the generation; infinite if it never was."""
        within = (n for n, share in zip(self.evaluations, self.shares(search), strict=True) if share >= GOAL)
        return next(within, math.inf)


@dataclass(frozen=True)
class Duel:
    """The paper's searcher against another, seed by seed."""

    rival: str
    final: Contrast
    """Of the last shares; positive where the paper's is ahead."""
    whole: Contrast
    """Of the means over all generations."""
    sooner: int
    """Seeds with which the paper's reached the goal first, or alone."""
    later: int

    @property
    def standing(self) -> Standing:
        """What may be said: the interval decides, and whether seeds overlap tells how clearly."""
        if self.final.interval is None:
            return "open"
        low, high = self.final.interval
        if high < 0:
            return "behind"
        if low <= 0:
            return "open"
        return "ahead" if self.final.overlap else "clearly ahead"


def duels(comparison: SearchComparison) -> tuple[Duel, ...]:
    """The paper's searcher against each of the others; none if it is not among them."""
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
    """Does the adopted MoreMNAS variant "generally outperform other mainstream searching methods" (Figure 6)?"""
    against = duels(comparison)
    if not against:
        why = f"The claim is about {OURS} and others; searched with {listed([c.name for c in comparison.contenders])}."
        return Verdict("open", "Nothing to judge", (why,))
    sentences = [_finals_sentence(comparison), *map(_duel_sentence, against)]
    status, answer = _judged(against)
    return Verdict(status, answer, (*sentences, _reached_sentence(comparison), *why_sentences(comparison)))


def _judged(against: Sequence[Duel]) -> tuple[Literal["good", "mixed", "bad", "open"], str]:
    """The verdict in one sentence. It never says more than the worst of the duels carries."""

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
    """95 % interval of a mean of shares; None with one seed. None can be larger than the best one known."""
    bounds = mean_interval(shares)
    return None if bounds is None else (max(bounds[0], 0.0), min(bounds[1], 1.0))


def over_seeds(shares: Sequence[float]) -> str:
    """A mean with its interval, in per cent."""
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
    """What became of the children of one operator of a searcher, over all seeds."""

    name: str
    tally: OperatorCounts
    share: float
    """Of all children after the first generation."""
    against_random: Contrast | None
    """Share that lived on, minus that of random mutation, seed by seed; None if one of them made no children."""

    @property
    def survival(self) -> float:
        """Share of its children that lived on."""
        return self.tally.survived / self.tally.children


def operator_records(contender: Contender) -> tuple[OperatorRecord, ...]:
    """The operators of a searcher, the busiest first. The random first generation is not an operator."""
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
    """Per seed, the share of an operator's children that lived on."""
    tallies = [search.operators.get(operator, OperatorCounts()) for search in contender.searches]
    return [tally.survived / tally.children if tally.children else None for tally in tallies]


def why_sentences(comparison: SearchComparison) -> tuple[str, ...]:
    """What the operators of the paper's searcher did, and which of them do worse than random mutation."""
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
