"""Scoring of genomes: cheap values first, and expensive ones only if needed and not known yet."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fairnas.search.archive import Archive
from fairnas.search.candidate import Candidate, Costs, Evaluator, Measures, is_number, plain
from fairnas.search.objectives import Objective, violation
from fairnas.space import Genome, SearchSpace

_LONGEST = 200  # characters of a reason


@dataclass
class Scoring:
    """Conversion of genomes to candidates: costs, then a user's functions, then scores of the evaluator.

    Later values are not computed for a network that misses a bound or has failed. Scores are in the archive under its
    setting; values that depend on a user's file (a function, a latency table) are under a setting that includes the
    file's checksum, so values of different versions are never mixed.
    """

    space: SearchSpace
    objectives: tuple[Objective, ...]
    evaluator: Evaluator
    costs: Costs
    archive: Archive
    cost_sources: Mapping[str, str]
    reasons: dict[Genome, str] = field(default_factory=dict)
    """Reasons of failed networks."""

    def candidates(self, genomes: Sequence[Genome], generation: int) -> dict[Genome, Candidate]:
        """Candidates of networks that this search asks for the first time; new values are added to the archive."""
        known = {genome: dict(self.costs(genome)) for genome in genomes}
        stored = [name for name in self.cost_sources if genomes and name in known[genomes[0]]]
        for name in stored:
            values = {genome: {name: measures[name]} for genome, measures in known.items()}
            self.archive.add(values, generation, setting=self.value_setting(name, self.cost_sources[name]))
        shared = {g: {n: v for n, v in measures.items() if n not in stored} for g, measures in known.items()}
        for objective in self.objectives:
            if objective.function is not None:
                values = self._values(objective, self._allowed(known), generation)
                for genome, value in values.items():
                    known[genome][objective.name] = value
        allowed = self._allowed(known)
        scores = self.archive.get(allowed)
        if any(any(map(math.isnan, score.values())) for score in scores.values()):
            why = self.archive.reasons()
            self.reasons |= {g: why.get(g, _not_finite(s)) for g, s in scores.items() if _not_finite(s)}
        unknown = [genome for genome in allowed if genome not in scores]
        if unknown:
            scored = self._scores(unknown)
            failed = {g: self.reasons.setdefault(g, _not_finite(s)) for g, s in scored.items() if _not_finite(s)}
            # costs are stored as well, for reports
            self.archive.add({g: {**score, **shared[g]} for g, score in scored.items()}, generation, failed)
            scores |= scored
        # costs and generation are those of this search, whatever search filled the archive
        return {g: Candidate.of(g, {**scores.get(g, {}), **known[g]}, generation) for g in genomes}

    @staticmethod
    def value_setting(name: str, source: str) -> str:
        """Setting of the archive for values that depend on a user's file."""
        return f"{name}: {source}"

    def _allowed(self, known: Mapping[Genome, Measures]) -> list[Genome]:
        """Networks that meet the bounds and did not fail, as far as known."""
        return [
            genome
            for genome, measures in known.items()
            if not any(map(math.isnan, measures.values())) and violation(measures, self.objectives) == 0
        ]

    def _values(self, objective: Objective, genomes: Sequence[Genome], generation: int) -> dict[Genome, float]:
        """Values of a user's function. Any exception fails the network that it was called for."""
        setting = self.value_setting(objective.name, objective.source) if objective.source else None
        found = self.archive.get(genomes, setting) if setting else {}
        if any(math.isnan(each[objective.name]) for each in found.values()):
            why = self.archive.reasons(setting)
            self.reasons |= {g: why.get(g, "") for g, each in found.items() if math.isnan(each[objective.name])}
        new: dict[Genome, Measures] = {}
        failed: dict[Genome, str] = {}
        for genome in genomes:
            if genome not in found:
                value, reason = _asked(objective, self.space, genome)
                new[genome] = plain({objective.name: value})
                if reason:
                    failed[genome] = reason
        if setting and new:
            self.archive.add(new, generation, failed, setting)
        self.reasons |= failed
        return {genome: (found.get(genome) or new[genome])[objective.name] for genome in genomes}

    def _scores(self, genomes: Sequence[Genome]) -> dict[Genome, Measures]:
        """Scores from the evaluator. An `ArithmeticError` fails the genome that causes it, not its generation."""
        costs = self.costs(genomes[0])
        wanted = {each.name for each in self.objectives if each.function is None and each.name not in costs}
        try:
            scores = self.evaluator(genomes)
        except ArithmeticError as error:
            if len(genomes) == 1:
                self.reasons[genomes[0]] = one_line(f"the evaluator raised {type(error).__name__}: {error}")
                return {genomes[0]: dict.fromkeys(wanted, math.nan)}
            return {genome: score for each in genomes for genome, score in self._scores([each]).items()}
        assert len(scores) == len(genomes), f"the evaluator gave {len(scores)} scores for {len(genomes)} genomes"
        assert all(wanted <= score.keys() for score in scores), f"the evaluator must give {', '.join(sorted(wanted))}"
        return {genome: plain(score) for genome, score in zip(genomes, scores, strict=True)}


def candidates_with_values(archive: Archive, sources: Mapping[str, str]) -> tuple[Candidate, ...]:
    """Candidates of an archive's setting that did not fail, with values that depend on a user's files.

    Args:
        archive: archive of a finished search.
        sources: source of each cost or function that depends on such a file. Candidates without a value keep the
            others.
    """
    values: dict[Genome, dict[str, float]] = {}
    for name, source in sources.items():
        for candidate in archive.candidates(Scoring.value_setting(name, source)):
            values.setdefault(candidate.genome, {}).update(candidate.measures)
    return tuple(
        Candidate.of(each.genome, {**each.measures, **values.get(each.genome, {})}, each.generation)
        for each in archive.candidates()
        if not each.failed
    )


def one_line(text: str) -> str:
    """First line of a text, shortened if it is long."""
    line = " ".join(text.splitlines()[0].split()) if text.strip() else ""
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _not_finite(score: Measures) -> str:
    """Reason that a score is a failure; empty if it is none."""
    names = [name for name, value in score.items() if math.isnan(value)]
    return f"{' and '.join(sorted(names))} not finite" if names else ""


def _asked(objective: Objective, space: SearchSpace, genome: Genome) -> tuple[float, str]:
    """Value of a function for a genome and an empty reason, or NaN and the reason of the failure."""
    assert objective.function is not None, "only functions are asked"
    try:
        value = objective.function(space, genome)
    except (Exception, SystemExit) as error:  # the user's own code may raise anything; the search continues
        return math.nan, one_line(f"{objective.name} raised {type(error).__name__}: {error}")
    if not is_number(value):
        given = repr(value) if isinstance(value, int | float | str | None) else f"a {type(value).__name__}"
        return math.nan, one_line(f"{objective.name} returned {given}, not a finite number")
    return value, ""
