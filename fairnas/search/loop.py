"""The search: ask for a generation, score what is new, tell, measure the front (paper 3.2, Algorithm 3).

A search is a deterministic function of space, configuration, seed and scores, so nothing of it is saved but
the scores. To go on after a kill it runs again from its seed while the archive answers for the networks it
knows, which takes seconds, and ends exactly as the undisturbed search.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fairnas.config import SearchConfig
from fairnas.errors import ConfigError
from fairnas.search.archive import Archive
from fairnas.search.candidate import Candidate, Costs, Evaluator, Measures
from fairnas.search.mutators import Tally
from fairnas.search.objectives import (
    Objective,
    check_bounds,
    cost_ranges,
    objectives_from,
    violation,
)
from fairnas.search.pareto import hypervolume, pareto_front, reference_point
from fairnas.search.searchers import make_searcher
from fairnas.space import Genome, SearchSpace


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        front: non-dominated candidates that meet the bounds, lightest first; empty if all candidates failed.
        hypervolume: after each generation, of everything scored so far that meets the bounds, from 0 to 1.
        reference: the point it is measured from: the worst accuracy, multiply-adds and parameters possible.
        generations: how many there were; fewer than configured if the space ran out of networks.
        evaluations: genomes asked for, repeats included.
        distinct: networks among them.
        rejected: of these, how many were never scored because their costs miss a bound.
        failed: of these, how many the evaluator could not score.
        operators: what became of the children of each operator; empty for searchers that have none.
    """

    front: tuple[Candidate, ...]
    hypervolume: tuple[float, ...]
    reference: tuple[float, ...]
    generations: int
    evaluations: int
    distinct: int
    rejected: int
    failed: int
    operators: Mapping[str, Tally]


def run_search(
    space: SearchSpace,
    config: SearchConfig,
    evaluator: Evaluator,
    costs: Costs,
    archive: Archive,
    seed: int,
    on_progress: Callable[[int, int, str], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    objectives: tuple[Objective, ...] | None = None,
) -> SearchResult:
    """Search a space for the Pareto front, or go on with a search that was cut off.

    Networks whose costs miss a bound are not scored. That changes nothing: among networks that miss bounds
    NSGA-II compares the distance to the bounds alone, and no front or hypervolume counts them.

    Args:
        space: where to search.
        config: searcher, population, generations, operators, bounds.
        evaluator: scores networks that the archive does not know, all of a generation at once.
        costs: multiply-adds and parameters of a genome.
        archive: open for writing; it gets the scores generation by generation.
        seed: of the run.
        on_progress: called after each generation with the number done, the number in all, and a line of text.
        stop: asked after each generation.
        objectives: what to optimise; default: accuracy, multiply-adds and parameters, with the configuration's bounds.
            Those to be minimised are costs, which `costs` gives; those to be maximised are shares from 0 to 1, which
            the evaluator gives.

    Raises:
        ConfigError: if no genome meets a bound (before anything is scored), if none was found that meets all of
            them, or if no such searcher exists.
        KeyboardInterrupt: if `stop` says so; the generation is in the archive.
    """
    objectives = objectives or objectives_from(config)
    ranges = cost_ranges(space, costs)
    check_bounds(space, objectives, {name: low for name, (low, _) in ranges.items()})
    searcher = make_searcher(space, objectives, costs, config, seed)
    judge = _Judge(objectives, evaluator, costs, archive)
    found: dict[Genome, Candidate] = {}
    front: tuple[Candidate, ...] = ()
    volumes: list[float] = []
    asked = 0
    for generation in range(config.generations):
        genomes = [space.canonical(genome) for genome in searcher.ask()]
        if not genomes:
            break
        asked += len(genomes)
        new = judge.candidates([each for each in dict.fromkeys(genomes) if each not in found], generation)
        found |= new
        searcher.tell([found[genome] for genome in genomes])
        front = pareto_front([*front, *new.values()], objectives)
        volumes.append(hypervolume(front, objectives, ranges))
        if on_progress is not None:
            text = f"front of {len(front)}, hypervolume {volumes[-1]:.4f}, {len(found)} networks seen"
            on_progress(generation + 1, config.generations, text)
        if stop():
            raise KeyboardInterrupt
    failed = sum(candidate.failed for candidate in found.values())
    if not front and not failed:
        bounds = " and ".join(f"search.max_{o.name} {o.bound:,.0f}" for o in objectives if o.bound is not None)
        raise ConfigError(f"no network of space '{space.name}' was found that meets {bounds}; raise one of them")
    return SearchResult(
        front=front,
        hypervolume=tuple(volumes),
        reference=reference_point(objectives, ranges),
        generations=len(volumes),
        evaluations=asked,
        distinct=len(found),
        rejected=sum(violation(c.measures, objectives) > 0 for c in found.values()),
        failed=failed,
        operators=dict(searcher.operators),
    )


@dataclass(frozen=True)
class _Judge:
    """Makes candidates of genomes: costs first, scores only where they can matter and are not known yet."""

    objectives: tuple[Objective, ...]
    evaluator: Evaluator
    costs: Costs
    archive: Archive

    def candidates(self, genomes: Sequence[Genome], generation: int) -> dict[Genome, Candidate]:
        """Candidates of networks that this search asks for the first time; new scores are in the archive."""
        cost = {genome: self.costs(genome) for genome in genomes}
        allowed = [genome for genome in genomes if violation(cost[genome], self.objectives) == 0]
        scores = self.archive.get(allowed)
        unknown = [genome for genome in allowed if genome not in scores]
        if unknown:
            # costs go into the archive too, for reports
            new = {genome: {**score, **cost[genome]} for genome, score in self.scores(unknown).items()}
            self.archive.add(new, generation)
            scores |= new
        # the generation is the one of this search, whoever filled the archive
        return {g: Candidate.of(g, {**scores.get(g, {}), **cost[g]}, generation) for g in genomes}

    def scores(self, genomes: Sequence[Genome]) -> dict[Genome, Measures]:
        """Ask the evaluator. An `ArithmeticError` fails the one genome that causes it, not its generation."""
        wanted = {each.name for each in self.objectives if each.direction == "max"}
        try:
            scores = self.evaluator(genomes)
        except ArithmeticError:
            if len(genomes) == 1:
                return {genomes[0]: dict.fromkeys(wanted, math.nan)}
            return {genome: score for each in genomes for genome, score in self.scores([each]).items()}
        assert len(scores) == len(genomes), f"the evaluator gave {len(scores)} scores for {len(genomes)} genomes"
        assert all(wanted <= score.keys() for score in scores), f"the evaluator must give {', '.join(wanted)}"
        return dict(zip(genomes, scores, strict=True))
