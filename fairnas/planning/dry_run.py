"""A rehearsal: a few real steps of every stage of a run, timed, in a folder that vanishes.

Nothing is modelled that can be done. The supernet takes steps, and their time is known after seconds. The search runs
from its first generation to its last with invented accuracies, because it costs little but for the scores, and because
what it asks for and selects decides what is trained. Stand-alone networks take steps in as many processes as in the
run, because cores that share memory are slower together.
"""

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import torch

from fairnas.analysis import StudiedModel, study_ranking
from fairnas.atomic_files import temporary_folder
from fairnas.config import Measure, TrainConfig
from fairnas.export import ExportError, export_product
from fairnas.nets import Supernet, build, cost_table
from fairnas.pipeline.costs import costs_of_run
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.export_stage import product_of
from fairnas.pipeline.metrics_log import MetricsLog
from fairnas.pipeline.prepare import Prepared
from fairnas.pipeline.rank_stage import choose_models
from fairnas.pipeline.retrain_stage import retrained_genomes
from fairnas.pipeline.scoring import MEASURES, score, validation_batches
from fairnas.pipeline.search_stage import ARCHIVE, read_search, search
from fairnas.pipeline.train_stage import curve_genomes
from fairnas.planning.timing import Limits, SpreadSteps, TrainingTimes, time_scoring, time_training, timed
from fairnas.planning.training_times import QUICK, SCORING_SECONDS, JobTimes, product_ratio, time_jobs
from fairnas.progress import Narrator
from fairnas.randomness import generator
from fairnas.report import write_report
from fairnas.rundir import RunDirectory
from fairnas.search import Measures
from fairnas.space import Genome, SearchSpace, format_genome
from fairnas.train import supernet_training, write_checkpoint

SUPERNET = Limits(least=3.0, most=8.0)
GENERATIONS = 60
"""Rehearsed at most: a later generation resembles the one before."""
FEWEST_GENERATIONS = 5
"""Rehearsed at least, of a search that has so many."""
LATENCY_MINUTES = 0.01
"""To measure latency where a run does: the least that gives a table."""
PARTS = 4
FLOAT = 4
"""Bytes of a number in single precision."""


@dataclass(frozen=True)
class SearchTimes:
    """A search, in seconds, and what it asked for."""

    scored: tuple[int, ...]
    """Genomes that had to be scored, generation by generation as far as rehearsed."""
    left: int
    """Generations that were not rehearsed."""
    per_genome: tuple[tuple[int, float], ...]
    """Of some of those in `scored`: which, and seconds per genome."""
    bookkeeping: float
    """Everything but the scores, in the generations that were rehearsed."""
    archive: int
    """Bytes."""


@dataclass(frozen=True)
class ExportTimes:
    """Exports, in seconds."""

    first: float
    """With the loading of the libraries."""
    next: float
    params: int
    """Of the network whose files were measured."""
    files: int
    """Bytes of a network's folder."""


@dataclass(frozen=True)
class DryRunTimes:
    """What a rehearsal measured. Seconds and bytes of this device."""

    supernet: TrainingTimes
    curve: float
    """Scoring the genomes of the accuracy curve after an epoch."""
    save: float
    """Writing a checkpoint of the supernet."""
    checkpoint: int
    """Its bytes."""
    search: SearchTimes
    retrained: tuple[Genome, ...]
    """The networks that such a search selects, and the configured ones."""
    studied: tuple[Genome, ...]
    """Those that would be in the ranking study."""
    jobs: tuple[JobTimes, ...]
    """Some of them, trained side by side as in the run; lightest first."""
    processes: int
    """In which they are trained; 1 is this one."""
    process_start: float
    """Until such processes are ready, and until they are gone; 0 in this process."""
    study: float
    """The statistics of the ranking study."""
    export: ExportTimes
    report: float
    report_file: int
    """Bytes."""
    memory: int
    """Peak, in bytes: on a GPU of its memory, else resident in all processes together."""
    product: float = 1.0
    """How many times as long an image takes in a training by the product recipe, where that is wanted."""


def rehearse(prepared: Prepared, narrator: Narrator, patience: float = 1.0) -> DryRunTimes:
    """Measure every part of a run. Nothing of it remains; torch has as many threads as before.

    Args:
        prepared: the run.
        narrator: told how far it is.
        patience: share of the usual time to take for it; a run of a minute cannot wait as long for its plan.
    """
    config = prepared.config
    generations = min(config.search.generations, max(FEWEST_GENERATIONS, round(GENERATIONS * patience)))
    searched = dataclasses.replace(config.search, generations=generations, latency_minutes=LATENCY_MINUTES)
    shortened = dataclasses.replace(config, search=searched)
    with threads_put_back(), temporary_folder("fairnas-plan-") as folder:
        run = RunDirectory.create(folder / "run", shortened)
        experiment = Experiment(run, opened=(prepared.space, prepared.dataset))
        device = experiment.device
        assert experiment.space is prepared.space  # now torch has the threads that the run would have
        narrator.stage(1, PARTS, "measure supernet steps", "the search")
        supernet_times, save, checkpoint, curve = _supernet(experiment, patience)
        narrator.stage(2, PARTS, "measure the search", "training from scratch")
        costs_of_run(experiment)  # a rough table, before the search is timed
        search_times = _search(experiment, config.search.generations - generations, narrator, patience)
        wants_study = config.stand_alone.models or config.stand_alone.study
        retrained, studied = retrained_genomes(experiment), choose_models(experiment) if wants_study else ()
        narrator.stage(3, PARTS, "measure training from scratch", "export and report")
        jobs, processes, process_start = time_jobs(experiment, retrained, studied, patience)
        product = product_ratio(experiment, retrained[0], patience) if config.retrain.recipe == "product" else 1.0
        narrator.stage(4, PARTS, "measure export and report", "")
        study = timed(lambda: study_ranking(_invented_study(experiment, studied))) if studied else 0.0
        export = _export(experiment, retrained, patience)
        report = timed(lambda: write_report(run))
        report_file = (run.path / "report.html").stat().st_size
        return DryRunTimes(
            supernet_times, curve, save, checkpoint, search_times, retrained, studied, jobs, processes, process_start,
            study, export, report, report_file, _peak_memory(device, processes), product,
        )  # fmt: skip


@contextlib.contextmanager
def threads_put_back() -> Iterator[None]:
    """Torch with as many threads as before, afterwards."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _supernet(experiment: Experiment, patience: float = 1.0) -> tuple[TrainingTimes, float, int, float]:
    """Times of the training, seconds and bytes of its checkpoint, seconds of the accuracy curve."""
    config, run, device = experiment.config, experiment.run, experiment.device
    workers = config.resources.loader_workers

    def start(changed: TrainConfig) -> SpreadSteps:
        with MetricsLog(run, "train"):  # its libraries take a second to load
            training = supernet_training(experiment.space, changed, config.seed, device, config.resources)
        return SpreadSteps(training, 1000 * training.ledger.level_every, training.ledger.level_every)

    times, training = time_training(start, experiment.dataset, config.train, device, workers, SUPERNET.times(patience))
    path = run.path / "supernet" / "checkpoint.pt"
    content = {
        "network": training.network.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "extra": training.extra_state(),
    }
    save = timed(lambda: write_checkpoint(path, "supernet", content))
    assert isinstance(training.network, Supernet)
    genomes = curve_genomes(experiment.space, config.seed)
    curve = min(_scoring(experiment, genomes, training.network, patience) for _ in range(2))
    training.network.train()
    return times, save, path.stat().st_size, curve


def _scoring(experiment: Experiment, genomes: Sequence[Genome], supernet: Supernet, patience: float) -> float:
    """Seconds that it takes to score genomes on all validation images."""
    return time_scoring(
        lambda batches, seen: score(experiment, genomes, batches, supernet, seen),
        validation_batches(experiment),
        len(experiment.dataset.validation),
        experiment.device,
        SCORING_SECONDS * patience,
    )


def _search(experiment: Experiment, left: int, narrator: Narrator, patience: float) -> SearchTimes:
    """Run the search with invented accuracies, then score the genomes of some of its generations.

    Args:
        experiment: with the generations that are rehearsed.
        left: how many the run has beyond them.
        narrator: told how far it is.
        patience: see `rehearse`.
    """
    asked: list[Sequence[Genome]] = []
    invented = _invented_accuracy(experiment.space, len(experiment.dataset.validation), experiment.config.seed)
    spent = 0.0

    def evaluator(genomes: Sequence[Genome], /) -> Sequence[Measures]:
        nonlocal spent
        begin = time.perf_counter()
        asked.append(genomes)
        every, accuracies = [invented(genome) for genome in genomes], get_args(Measure)
        scores = [{name: found if name in accuracies else 1.0 for name in MEASURES} for found in every]
        spent += time.perf_counter() - begin
        return scores

    bookkeeping = timed(lambda: search(experiment, evaluator)) - spent
    archive = sum(path.stat().st_size for path in experiment.run.path.glob(ARCHIVE + "*"))
    places = sorted({0, len(asked) // 2, len(asked) - 1})
    per_genome = []
    for number, place in enumerate(places):
        narrator.progress(number, len(places), "")
        tries = range(2 if number == 0 else 1)
        seconds = min(_scoring(experiment, asked[place], experiment.supernet, patience) for _ in tries)
        per_genome.append((place, seconds / len(asked[place])))
    ended = read_search(experiment.run).generations < experiment.config.search.generations
    return SearchTimes(tuple(map(len, asked)), 0 if ended else left, tuple(per_genome), bookkeeping, archive)


def _invented_accuracy(space: SearchSpace, images: int, seed: int) -> Callable[[Genome], float]:
    """Accuracies as a supernet might give them: larger networks are better, some blocks are good or bad, ties occur."""
    table = cost_table(space)
    low, high = table.lightest["madds"], max(table.heaviest["madds"], table.lightest["madds"] + 1)
    rng = generator(seed, "invented accuracies")
    effects = [rng.normal(0, 0.04 / math.sqrt(space.depth), count) for count in space.choices]

    def accuracy(genome: Genome) -> float:
        size = math.log(table(genome).madds / low) / math.log(high / low)
        blocks = sum(float(effects[layer][choice]) for layer, choice in enumerate(genome))
        share = min(1.0, max(0.0, 0.5 + 0.3 * size**0.5 + blocks))
        return round(share * images) / images

    return accuracy


def _invented_study(experiment: Experiment, genomes: Sequence[Genome]) -> list[StudiedModel]:
    """A study of made-up accuracies: its statistics cost the same."""
    table = cost_table(experiment.space)
    rng = generator(experiment.config.seed, "invented study")
    seeds = experiment.config.stand_alone.seeds
    costs = [table(genome) for genome in genomes]
    return [
        StudiedModel(
            genome,
            rng.random(),
            tuple(rng.random(seeds).tolist()),
            cost.madds,
            cost.params,
            0,
            rng.random(),
        )
        for genome, cost in zip(genomes, costs, strict=True)
    ]


def _export(experiment: Experiment, genomes: Sequence[Genome], patience: float) -> ExportTimes:
    """Export two networks with the supernet's weights; without patience one, of which the next will take no longer."""
    space = experiment.space

    def once(genome: Genome) -> float:
        product = product_of(experiment, build(space, genome, inherit=experiment.supernet), {})
        folder = experiment.run.path / "models" / format_genome(genome)
        begin = time.perf_counter()
        with contextlib.suppress(ExportError):  # an untrained network may be too sensitive to be proved equal
            export_product(folder, product)
        return time.perf_counter() - begin

    chosen = genomes[:1] if patience < QUICK else (genomes[0], genomes[-1])
    first, *others = map(once, chosen)
    following = others[0] if others else first
    folder = experiment.run.path / "models" / format_genome(chosen[-1])
    files = sum(path.stat().st_size for path in folder.glob("*"))
    params = cost_table(space)(chosen[-1]).params
    return ExportTimes(first, following, params, files or 2 * FLOAT * params)


def _peak_memory(device: torch.device, processes: int) -> int:
    """Bytes. Libraries that processes share count once for each."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # absent on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    own, child = (resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own + (processes * child if processes > 1 else 0)
