"""Search loop: ask for a generation, score new networks, tell, measure the front (paper 3.2, Algorithm 3).

A search is a deterministic function of space, configuration, seed and scores, so only the scores are saved. After a
kill it runs again from its seed, with known scores from the archive, which takes seconds, and ends exactly like an
undisturbed search.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fairnas.config import SearchConfig
from fairnas.errors import ConfigError
from fairnas.search.archive import Archive
from fairnas.search.candidate import Candidate, Costs, Evaluator
from fairnas.search.mutators import OperatorCounts
from fairnas.search.objectives import LATENCY, Objective, objectives_from, violation
from fairnas.search.pareto import hypervolume, pareto_front, reference_point
from fairnas.search.ranges import Ranges, check_bounds, cost_ranges, estimated_ranges, known_ranges, number
from fairnas.search.scoring import Scoring
from fairnas.search.searchers import make_searcher
from fairnas.space import Genome, SearchSpace, format_genome


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        front: non-dominated candidates that meet the bounds, lightest first; empty if all candidates failed.
        hypervolume: after each generation, of everything scored so far that meets the bounds, from 0 to 1.
        reference: the point it is measured from: the worst value of each objective.
        ranges: smallest and largest value of each cost and objective, which scale the hypervolume.
        estimated: objectives whose range was estimated from the first generation.
        generations: number of generations; fewer than configured if the space ran out of networks.
        evaluations: number of genomes asked for, including repeats.
        distinct: number of different networks among them.
        rejected: number of these that miss a bound; those whose costs miss one were never scored.
        failed: number of these that the evaluator or a user's function could not score.
        failure: the first failed network and the reason, in a line; empty if none failed.
        operators: counts of the children of each operator; empty for searchers without operators.
    """

    front: tuple[Candidate, ...]
    hypervolume: tuple[float, ...]
    reference: tuple[float, ...]
    ranges: Ranges
    estimated: tuple[str, ...]
    generations: int
    evaluations: int
    distinct: int
    rejected: int
    failed: int
    failure: str
    operators: Mapping[str, OperatorCounts]


@dataclass
class _Seen:
    """State of a search so far."""

    found: dict[Genome, Candidate] = field(default_factory=dict)
    front: tuple[Candidate, ...] = ()
    volumes: list[float] = field(default_factory=list)
    asked: int = 0

    def add(self, genomes: Sequence[Genome], new: Mapping[Genome, Candidate], objectives: Sequence[Objective]) -> None:
        self.asked += len(genomes)
        self.found |= new
        self.front = pareto_front([*self.front, *new.values()], objectives)

    def failures(self) -> list[Genome]:
        return [genome for genome, candidate in self.found.items() if candidate.failed]

    def line(self) -> str:
        failed = len(self.failures())
        text = f"front of {len(self.front)}, hypervolume {self.volumes[-1]:.4f}, {len(self.found)} networks seen"
        return text + (f", {failed} failed" if failed else "")


def run_search(
    space: SearchSpace,
    config: SearchConfig,
    evaluator: Evaluator,
    costs: Costs,
    archive: Archive,
    seed: int,
    on_progress: Callable[[int, int, str], None] = lambda done, total, text: None,
    stop: Callable[[], bool] = lambda: False,
    objectives: tuple[Objective, ...] | None = None,
    cost_sources: Mapping[str, str] | None = None,
    on_generation: Callable[[int, float], None] = lambda generation, volume: None,
) -> SearchResult:
    """Search a space for the Pareto front, or continue an interrupted search.

    Networks whose costs miss a bound are not scored. This does not change the result: among such networks NSGA-II only
    compares distances to the bounds, and fronts and hypervolumes exclude them. If a user's function or the evaluator
    gives no number, the network has failed: this is recorded, and the search continues.

    Args:
        space: space to search.
        config: searcher, population, generations, operators, bounds.
        evaluator: scores networks that are not in the archive, all of a generation at once.
        costs: multiply-adds, parameters and other additive costs of a genome.
        archive: open for writing; it gets the scores generation by generation.
        seed: of the run.
        on_progress: called after each generation with the number done, the number in all, and a line of text.
        stop: called after each generation; returns True when the search should end.
        objectives: objectives; default: those of the configuration, with its bounds. Objectives that are not costs and
            have no function come from the evaluator; if more is better, they must be shares from 0 to 1.
        cost_sources: sources of costs that depend on more than the space, such as a latency table, as text. Values of
            different sources are kept apart in the archive.
        on_generation: called after each generation with its number, from 0, and the hypervolume so far.

    Raises:
        ConfigError: if no genome meets a bound (before anything is scored), if none was found that meets all bounds, if
            latency is an objective but not a cost, or if the searcher does not exist.
        KeyboardInterrupt: if `stop` returns True; the generation is in the archive.
    """
    objectives = objectives or objectives_from(config)
    cost_limits = cost_ranges(space, costs)
    if LATENCY.name not in cost_limits and any(each.name == LATENCY.name for each in objectives):
        raise ConfigError("latency is to be optimised or bounded; give its table with --search.latency-table FILE.json")
    check_bounds(space, objectives, cost_limits)
    known = ranges = known_ranges(objectives, cost_limits)
    searcher = make_searcher(space, objectives, costs, config, seed)
    scoring = Scoring(space, objectives, evaluator, costs, archive, cost_sources or {})
    seen = _Seen()
    for generation in range(config.generations):
        genomes = [space.canonical(genome) for genome in searcher.ask()]
        if not genomes:
            break
        new = scoring.candidates([each for each in dict.fromkeys(genomes) if each not in seen.found], generation)
        seen.add(genomes, new, objectives)
        searcher.tell([seen.found[genome] for genome in genomes])
        if not generation:
            ranges = estimated_ranges(objectives, known, tuple(new.values()))
        seen.volumes.append(hypervolume(seen.front, objectives, ranges))
        on_generation(generation, seen.volumes[-1])
        on_progress(generation + 1, config.generations, seen.line())
        if stop():
            raise KeyboardInterrupt
    failures = seen.failures()
    priced = len(costs((0,) * space.depth))
    measured = [c for c in seen.found.values() if not c.failed and len(c.items) > priced]
    if not seen.front and (measured or not failures):  # failures give no information about the bounds
        bounds = " and ".join(f"{o.bound_name} {number(o.bound)}" for o in objectives if o.bound is not None)
        failed = f" ({len(failures)} failed, such as {_format_failure(failures[0], scoring)})" if failures else ""
        raise ConfigError(
            f"no network of space '{space.name}' was found that meets {bounds}{failed}; loosen one of them"
        )
    missed = [c for c in seen.found.values() if not c.failed and violation(c.measures, objectives) > 0]
    return SearchResult(
        front=seen.front,
        hypervolume=tuple(seen.volumes),
        reference=reference_point(objectives, ranges),
        ranges=ranges,
        estimated=tuple(each.name for each in objectives if each.name not in known),
        generations=len(seen.volumes),
        evaluations=seen.asked,
        distinct=len(seen.found),
        rejected=len(missed),
        failed=len(failures),
        failure=_format_failure(failures[0], scoring) if failures else "",
        operators=dict(searcher.operators),
    )


def _format_failure(failure: Genome, scoring: Scoring) -> str:
    """Failed network, and the reason."""
    return f"{format_genome(failure)}: {scoring.reasons.get(failure, '')}"
