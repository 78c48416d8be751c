"""Rehearsed trainings of single networks: a few steps, in as many processes as in the run.

Cores that share memory slow each other down.
"""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fairnas.config import TrainConfig
from fairnas.data import Dataset, ordered_batches, training_batches
from fairnas.evaluate import score_network
from fairnas.nets import cost_table
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.job_pool import at_work, process_count, workers
from fairnas.pipeline.job_run import make_training_run, one_thread
from fairnas.pipeline.rank_stage import rank_context
from fairnas.pipeline.retrain_stage import retrain_context
from fairnas.pipeline.training_job import Job, JobContext
from fairnas.planning.timing import Limits, TrainingTimes, gentle, time_scoring, time_training, timed, with_image_counts
from fairnas.space import Genome, SearchSpace
from fairnas.train import Training, stand_alone_training, write_checkpoint

STAND_ALONE = Limits(least=1.5, most=1.5)
"""Duration per network; equal for all, so that no network has a core alone while others are done."""
SCORING_SECONDS = 5.0  # for timing the scores of validation images
QUICK = 0.5
"""Share of the usual time for a rehearsal below which fewer networks are trained and exported."""


@dataclass(frozen=True)
class JobTimes:
    """Times of a training from scratch, in seconds, and its size."""

    madds: int
    params: int
    training: TrainingTimes
    save: float
    """Seconds for writing its checkpoint."""
    scoring: float
    """Seconds for scoring on validation and test images at the end."""
    checkpoint: int
    """Bytes of its checkpoint."""


def time_jobs(
    experiment: Experiment, retrained: Sequence[Genome], studied: Sequence[Genome], patience: float
) -> tuple[tuple[JobTimes, ...], int, float]:
    """Train a light, a middle and a heavy network in parallel; return times, processes, and seconds to start.

    Without patience the middle network is left out.
    """
    job_context, table = rank_context(experiment), cost_table(experiment.space)
    jobs = len(studied) * experiment.config.stand_alone.seeds
    processes = process_count(job_context, max(jobs, len(retrained)), experiment.space, experiment.dataset)
    ordered = sorted({*retrained, *studied}, key=lambda genome: (table(genome).madds, genome))
    middle = len(ordered) // 2 if patience >= QUICK else 0
    genomes = tuple(ordered[place] for place in sorted({0, middle, len(ordered) - 1}))
    if processes <= 1:
        with one_thread() if job_context.device == "cpu" else contextlib.nullcontext():
            times = [
                _time_job(genome, job_context, experiment.space, experiment.dataset, patience) for genome in genomes
            ]
        return tuple(times), 1, 0.0
    rounds = math.ceil(len(genomes) / processes)
    count = rounds * processes  # a multiple of the processes, so that no core is idle
    tasks = [(genomes[number % len(genomes)], genomes, patience) for number in range(count)]
    begin = time.monotonic()
    with workers(job_context, processes, experiment.space, experiment.dataset) as (pool, _):
        done = list(pool.map(_time_job_at_work, tasks))
        end = time.monotonic()
    start = max(ready for ready, _ in done) - begin + time.monotonic() - end
    return tuple(sorted((times for _, times in done), key=lambda each: each.madds)), processes, start


def product_ratio(experiment: Experiment, genome: Genome, patience: float) -> float:
    """Seconds for an image by the product recipe, divided by those with the supernet's hyper-parameters."""

    def seconds(job_context: JobContext) -> float:
        def start(changed: TrainConfig) -> Training:
            at_no_rate = dataclasses.replace(job_context, train=changed)
            return make_training_run(
                at_no_rate, job, experiment.space, experiment.dataset, experiment.config.seed
            ).training

        limits = STAND_ALONE.times(patience)
        times, _ = time_training(start, experiment.dataset, job_context.train, experiment.device, limits)
        return times.step / job_context.train.batch_size

    job = Job(genome, 0, True)
    with one_thread() if experiment.device.type == "cpu" else contextlib.nullcontext():
        return seconds(retrain_context(experiment)) / seconds(rank_context(experiment))


def _time_job_at_work(task: tuple[Genome, tuple[Genome, ...], float]) -> tuple[float, JobTimes]:
    """Time at which this process was ready, and the times of one training.

    The clock is `time.monotonic`, which is common to the processes of a machine and is never set back.
    """
    genome, genomes, patience = task
    ready = _ready(genomes)
    job_context, space, dataset, _ = at_work()
    return ready, _time_job(genome, job_context, space, dataset, patience)


@functools.cache
def _ready(genomes: tuple[Genome, ...]) -> float:
    """Load everything that a process loads with its images and its first steps."""
    job_context, space, dataset, _ = at_work()
    device, changed = torch.device(job_context.device), gentle(job_context.train)
    batches = training_batches(dataset, batch_size=changed.batch_size, seed=0, epoch=0, device=device)
    batch = next(batches)
    for genome in genomes:
        stand_alone_training(space, genome, changed, 0, device).step([batch], 0, 1)
    return time.monotonic()


def _time_job(
    genome: Genome, job_context: JobContext, space: SearchSpace, dataset: Dataset, patience: float
) -> JobTimes:
    """Do the same work as `run_job`, timed."""
    config, device = job_context.config, torch.device(job_context.device)
    times, training = time_training(
        lambda changed: stand_alone_training(space, genome, changed, config.seed, device),
        dataset,
        job_context.train,
        device,
        STAND_ALONE.times(patience),
    )
    path = job_context.checkpoint_path(Job(genome, 0, True))
    content = {"network": training.network.state_dict(), "optimizer": training.optimizer.state_dict()}
    save = timed(lambda: write_checkpoint(path, training.kind, content))
    scoring = 0.0
    for images in (dataset.validation, dataset.test):
        batches = ordered_batches(images, dataset, batch_size=config.evaluate.batch_size, device=device)
        scoring += time_scoring(
            lambda batches, seen: score_network(training.network, with_image_counts(batches, seen)),
            batches, len(images), device, SCORING_SECONDS * patience,
        )  # fmt: skip
    cost = cost_table(space)(genome)
    return JobTimes(cost.madds, cost.params, times, save, scoring, path.stat().st_size)
