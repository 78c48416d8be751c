"""Targets for comparing searchers: the trained supernet of a run, or the true accuracies of a benchmark."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fairnas.analysis.nas_bench_macro import SPACE, read_nas_bench_macro
from fairnas.atomic_files import checksum
from fairnas.config import ACCURACY_WORDS, Measure, SearchConfig
from fairnas.errors import ConfigError
from fairnas.pipeline.costs import MEASURED, RunCosts, search_costs
from fairnas.pipeline.evaluators import evaluator_of
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.precision_check import require_ranks_of_float32
from fairnas.pipeline.scoring import evaluation_setting
from fairnas.pipeline.search_stage import ARCHIVE
from fairnas.progress import Narrator
from fairnas.rundir import RunDirectory
from fairnas.search import (
    ACCURACY,
    Archive,
    Candidate,
    Evaluator,
    Measures,
    Objective,
    Ranges,
    cost_ranges,
    objectives_from,
)
from fairnas.search.objectives import violation
from fairnas.search.ranges import known_ranges
from fairnas.space import Genome, SearchSpace, get_space


@dataclass(frozen=True)
class Searched:
    """Space to search, the evaluator of its networks, and facts that are known before any search."""

    space: SearchSpace
    evaluator: Evaluator
    costs: RunCosts
    objectives: tuple[Objective, ...]
    ranges: Ranges
    """Smallest and largest possible value of every cost and objective: the scale of all hypervolumes."""
    setting: str
    """Key of the scores beyond the genome (`Archive`)."""
    known: tuple[Candidate, ...]
    """Networks that were scored before, with their costs."""
    title: str
    """Description for people."""
    accuracy: str
    """Name of the accuracy."""
    measure: Measure = "top1"
    """Measure of accuracy."""

    def misses_bounds(self, genome: Genome) -> bool:
        """True if the costs of a network miss a bound."""
        return violation(self.costs(genome), self.objectives) > 0


@contextlib.contextmanager
def trained_supernet(
    path: Path, search: SearchConfig, searchers: Sequence[str], narrator: Narrator, stop: Callable[[], bool]
) -> Iterator[Searched]:
    """Supernet of a run, with the scores from the run's own search. The run's archive is only read.

    Args:
        path: run directory.
        search: bounds and objectives.
        searchers: names of the searchers.
        narrator: receives the progress.
        stop: returns True when the work should end.

    Raises:
        RunDirectoryError: if there is no run, or its supernet is not trained or damaged.
        ConfigError: if the objectives are invalid.
    """
    run = RunDirectory.open(path)
    run.require_finished("train")
    # without the run's lock: it only reads files that are replaced atomically, and the setting names the weights
    experiment = Experiment(run, narrator, stop)
    space, setting = experiment.space, evaluation_setting(experiment)
    costs = _prices(space, search, searchers, path / MEASURED)
    measure = run.config.measure
    objectives, ranges = _objectives(search, measure, space, costs)
    require_ranks_of_float32(experiment)
    images = len(experiment.dataset.validation)
    with evaluator_of(experiment) as evaluator:
        yield Searched(
            space=space,
            evaluator=evaluator,
            costs=costs,
            objectives=objectives,
            ranges=ranges,
            setting=setting,
            known=_scored_before(path / ARCHIVE, setting, costs),
            title=f"the supernet of {path.resolve().name}, scored on {images:,} validation images of "
            f"{experiment.dataset.name}",
            measure=measure,
            accuracy=f"one-shot {ACCURACY_WORDS[measure]}",
        )


def _scored_before(path: Path, setting: str, costs: RunCosts) -> tuple[Candidate, ...]:
    if not path.exists():
        return ()
    with Archive(path, setting, read_only=True) as archive:
        found = archive.candidates()
    return tuple(Candidate.of(each.genome, {**each.measures, **costs(each.genome)}) for each in found)


def benchmark_truth(path: Path, search: SearchConfig, searchers: Sequence[str]) -> Searched:
    """NAS-Bench-Macro, a benchmark that has the accuracy of every network.

    Args:
        path: JSON file of the benchmark.
        search: bounds and objectives.
        searchers: names of the searchers.

    Raises:
        DataError: if the file is not the benchmark's.
        ConfigError: if the objectives are invalid, or not in the benchmark.
    """
    truth = read_nas_bench_macro(path)
    torch.set_num_threads(1)  # only controllers compute here, and they are tiny
    space = get_space(SPACE)
    costs = _prices(space, search, searchers)
    objectives, ranges = _objectives(search, "top1", space, costs)
    known = {ACCURACY.name, *costs((0,) * space.depth)}
    for each in objectives:
        if each.name not in known and each.function is None:
            raise ConfigError(f"NAS-Bench-Macro does not know '{each.name}'; it knows {', '.join(sorted(known))}")

    def evaluator(genomes: Sequence[Genome], /) -> list[Measures]:
        return [{ACCURACY.name: truth[genome].top1} for genome in genomes]

    networks = sorted({space.canonical(genome) for genome in truth})
    scores = evaluator(networks)
    return Searched(
        space=space,
        evaluator=evaluator,
        costs=costs,
        objectives=objectives,
        ranges=ranges,
        setting=f"NAS-Bench-Macro, {checksum(path)[:16]}",
        known=tuple(Candidate.of(g, {**score, **costs(g)}) for g, score in zip(networks, scores, strict=True)),
        title=f"the {len(networks):,} networks of NAS-Bench-Macro, scored by their training from scratch on CIFAR-10",
        measure="top1",
        accuracy="stand-alone top-1",
    )


def _prices(
    space: SearchSpace, search: SearchConfig, searchers: Sequence[str], measured: Path | None = None
) -> RunCosts:
    """Costs needed by any of the searchers."""
    needed = [search_costs(space, dataclasses.replace(search, searcher=name), measured) for name in searchers]
    return next((each for each in needed if each.latency is not None), search_costs(space, search, measured))


def _objectives(
    search: SearchConfig, measure: Measure, space: SearchSpace, costs: RunCosts
) -> tuple[tuple[Objective, ...], Ranges]:
    """Objectives and their ranges: hypervolumes are only comparable with common ranges."""
    objectives = objectives_from(search, measure)
    ranges = known_ranges(objectives, cost_ranges(space, costs))
    for each in objectives:
        if each.name not in ranges:
            raise ConfigError(
                f"the range of objective '{each.name}' is not known, so hypervolumes of two searches do not compare; "
                "leave it out, or declare its best and worst value"
            )
    return objectives, ranges
