"""Rehearsal: a few real steps of every stage of a run, timed, in a temporary folder.

Everything is done rather than modelled. Supernet steps can be timed in seconds. The search runs from its first
generation to its last with random accuracies: apart from the scores it is cheap, and its selection determines which
networks are trained. Stand-alone networks take steps in as many processes as in the run, because cores that share
memory slow each other down.
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

SUPERNET = Limits(least=3.0, most=8.0)  # seconds of supernet steps
GENERATIONS = 60
"""Largest number of rehearsed generations: later ones resemble earlier ones."""
FEWEST_GENERATIONS = 5
"""Smallest number of rehearsed generations, if the search has that many."""
LATENCY_MINUTES = 0.01
"""Minutes of measuring latency, if the run does: the smallest that gives a table."""
PARTS = 4  # parts of a rehearsal that are reported
FLOAT = 4
"""Bytes of a number in single precision."""


@dataclass(frozen=True)
class SearchTimes:
    """Times of a search, in seconds, and the networks that it scored."""

    scored: tuple[int, ...]
    """Number of genomes to score, by generation as far as rehearsed."""
    left: int
    """Number of generations that were not rehearsed."""
    per_genome: tuple[tuple[int, float], ...]
    """Seconds per genome for some generations: index in `scored`, and seconds."""
    bookkeeping: float
    """Seconds of everything except scores, in the rehearsed generations."""
    archive: int
    """Bytes of the archive."""


@dataclass(frozen=True)
class ExportTimes:
    """Times of exports, in seconds."""

    first: float
    """First export, with the loading of the libraries."""
    next: float
    params: int
    """Parameters of the network whose files were measured."""
    files: int
    """Bytes of a network's folder."""


@dataclass(frozen=True)
class DryRunTimes:
    """Measurements of a rehearsal: seconds and bytes of this device."""

    supernet: TrainingTimes
    curve: float
    """Seconds for scoring the genomes of the accuracy curve after an epoch."""
    save: float
    """Seconds for writing a checkpoint of the supernet."""
    checkpoint: int
    """Bytes of the checkpoint."""
    search: SearchTimes
    retrained: tuple[Genome, ...]
    """Networks that such a search selects, and the configured ones."""
    studied: tuple[Genome, ...]
    """Networks that would be in the ranking study."""
    jobs: tuple[JobTimes, ...]
    """Times of some of them, trained in parallel as in the run; lightest first."""
    processes: int
    """Number of processes that train them; 1 is this process."""
    process_start: float
    """Seconds until such processes are ready, and until they end; 0 in this process."""
    study: float
    """Seconds for the statistics of the ranking study."""
    export: ExportTimes
    report: float
    report_file: int
    """Bytes of the report."""
    memory: int
    """Peak in bytes: of a GPU's memory, or resident in all processes together."""
    product: float = 1.0
    """Time of an image in a training by the product recipe, relative to the usual training, if it is wanted."""


def rehearse(prepared: Prepared, narrator: Narrator, patience: float = 1.0) -> DryRunTimes:
    """Measure every part of a run. Nothing of it remains; torch's number of threads is restored.

    Args:
        prepared: the run.
        narrator: receives the progress.
        patience: share of the usual time to spend; the plan of a short run must be quick.
    """
    config = prepared.config
    generations = min(config.search.generations, max(FEWEST_GENERATIONS, round(GENERATIONS * patience)))
    searched = dataclasses.replace(config.search, generations=generations, latency_minutes=LATENCY_MINUTES)
    shortened = dataclasses.replace(config, search=searched)
    with threads_put_back(), temporary_folder("fairnas-plan-") as folder:
        run = RunDirectory.create(folder / "run", shortened)
        experiment = Experiment(run, opened=(prepared.space, prepared.dataset))
        device = experiment.device
        assert experiment.space is prepared.space  # this sets torch's threads as in the run
        narrator.stage(1, PARTS, "measure supernet steps", "the search")
        supernet_times, save, checkpoint, curve = _supernet(experiment, patience)
        narrator.stage(2, PARTS, "measure the search", "training from scratch")
        costs_of_run(experiment)  # a rough latency table, before the search is timed
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
    """Restore torch's number of threads afterwards."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _supernet(experiment: Experiment, patience: float = 1.0) -> tuple[TrainingTimes, float, int, float]:
    """Times of the training, seconds and bytes of its checkpoint, seconds of the accuracy curve."""
    config, run, device = experiment.config, experiment.run, experiment.device

    def start(changed: TrainConfig) -> SpreadSteps:
        with MetricsLog(run, "train"):  # its libraries take a second to load
            training = supernet_training(experiment.space, changed, config.seed, device, config.resources)
        return SpreadSteps(training, 1000 * training.ledger.level_every, training.ledger.level_every)

    times, training = time_training(start, experiment.dataset, config.train, device, SUPERNET.times(patience))
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
    """Seconds for scoring genomes on all validation images."""
    return time_scoring(
        lambda batches, seen: score(experiment, genomes, batches, supernet, seen),
        validation_batches(experiment),
        len(experiment.dataset.validation),
        experiment.device,
        SCORING_SECONDS * patience,
    )


def _search(experiment: Experiment, left: int, narrator: Narrator, patience: float) -> SearchTimes:
    """Run the search with random accuracies, then score the genomes of some of its generations.

    Args:
        experiment: experiment with the rehearsed generations.
        left: number of further generations in the run.
        narrator: receives the progress.
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
    """Random accuracies like a supernet's: larger networks are better, some blocks are good or bad, ties occur."""
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
    """Study of random accuracies, whose statistics take the same time."""
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
    """Export two networks with the supernet's weights; without patience only one."""
    space = experiment.space

    def once(genome: Genome) -> float:
        product = product_of(experiment, build(space, genome, inherit=experiment.supernet), {})
        folder = experiment.run.path / "models" / format_genome(genome)
        begin = time.perf_counter()
        with contextlib.suppress(ExportError):  # an untrained network may be too sensitive to pass the parity check
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
    """Peak memory in bytes. Libraries that processes share are counted for each of them."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # does not exist on Windows

    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes on macOS, kilobytes on Linux
    own, child = (resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own + (processes * child if processes > 1 else 0)
