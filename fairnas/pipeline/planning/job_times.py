"""Trainings of single networks, rehearsed: a few steps, in as many processes as in the run.

Cores that share memory are slower together.
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
from fairnas.pipeline.courses import course_of
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.jobs import at_work, one_thread, process_count, workers
from fairnas.pipeline.planning.stopwatch import Limits, TrainingTimes, gentle, time_scoring, time_training, timed, told
from fairnas.pipeline.retraining import retraining_workshop
from fairnas.pipeline.truth import workshop_of
from fairnas.pipeline.workshop import Job, Workshop
from fairnas.space import Genome, SearchSpace
from fairnas.train import Training, stand_alone_training, write_checkpoint

STAND_ALONE = Limits(least=1.5, most=1.5)
"""For each network; the same for all, so that none has a core for itself while others are done."""
SCORING_SECONDS = 5.0
QUICK = 0.5
"""Share of the usual time for a rehearsal below which fewer networks are trained and exported in it."""


@dataclass(frozen=True)
class JobTimes:
    """A training from scratch, in seconds, and its size."""

    madds: int
    params: int
    training: TrainingTimes
    save: float
    """Writing its checkpoint."""
    scoring: float
    """On validation and test images, in the end."""
    checkpoint: int
    """Bytes of its checkpoint."""


def time_jobs(
    experiment: Experiment, retrained: Sequence[Genome], studied: Sequence[Genome], patience: float
) -> tuple[tuple[JobTimes, ...], int, float]:
    """Train a light, a middle and a heavy network, side by side; how many processes, and seconds until they work.

    Without patience the middle one is left out.
    """
    workshop, table = workshop_of(experiment), cost_table(experiment.space)
    jobs = len(studied) * experiment.config.stand_alone.seeds
    processes = process_count(workshop, max(jobs, len(retrained)), experiment.space, experiment.dataset)
    ordered = sorted({*retrained, *studied}, key=lambda genome: (table(genome).madds, genome))
    middle = len(ordered) // 2 if patience >= QUICK else 0
    genomes = tuple(ordered[place] for place in sorted({0, middle, len(ordered) - 1}))
    if processes <= 1:
        with one_thread() if workshop.device == "cpu" else contextlib.nullcontext():
            times = [_time_job(genome, workshop, experiment.space, experiment.dataset, patience) for genome in genomes]
        return tuple(times), 1, 0.0
    rounds = math.ceil(len(genomes) / processes)
    count = rounds * processes  # no core is idle
    tasks = [(genomes[number % len(genomes)], genomes, patience) for number in range(count)]
    begin = time.monotonic()
    with workers(workshop, processes, experiment.space, experiment.dataset) as (pool, _):
        done = list(pool.map(_time_job_at_work, tasks))
        end = time.monotonic()
    start = max(ready for ready, _ in done) - begin + time.monotonic() - end
    return tuple(sorted((times for _, times in done), key=lambda each: each.madds)), processes, start


def product_ratio(experiment: Experiment, genome: Genome, patience: float) -> float:
    """Seconds for an image by the product recipe, over those with the supernet's hyper-parameters."""

    def seconds(workshop: Workshop) -> float:
        def start(changed: TrainConfig) -> Training:
            at_no_rate = dataclasses.replace(workshop, train=changed)
            return course_of(at_no_rate, job, experiment.space, experiment.dataset, experiment.config.seed).training

        workers, device = experiment.config.resources.loader_workers, experiment.device
        limits = STAND_ALONE.times(patience)
        times, _ = time_training(start, experiment.dataset, workshop.train, device, workers, limits)
        return times.step / workshop.train.batch_size

    job = Job(genome, 0, True)
    with one_thread() if experiment.device.type == "cpu" else contextlib.nullcontext():
        return seconds(retraining_workshop(experiment)) / seconds(workshop_of(experiment))


def _time_job_at_work(task: tuple[Genome, tuple[Genome, ...], float]) -> tuple[float, JobTimes]:
    """When this process was ready, and the times of one training.

    On the clock of `time.monotonic`, which the processes of a machine share, and which nobody sets back.
    """
    genome, genomes, patience = task
    ready = _ready(genomes)
    workshop, space, dataset, _ = at_work()
    return ready, _time_job(genome, workshop, space, dataset, patience)


@functools.cache
def _ready(genomes: tuple[Genome, ...]) -> float:
    """Load what a process loads with its images and its first steps."""
    workshop, space, dataset, _ = at_work()
    device, changed = torch.device(workshop.device), gentle(workshop.train)
    batches = training_batches(dataset, batch_size=changed.batch_size, seed=0, epoch=0, device=device)
    batch = next(batches)
    for genome in genomes:
        stand_alone_training(space, genome, changed, 0, device).step([batch], 0, 1)
    return time.monotonic()


def _time_job(genome: Genome, workshop: Workshop, space: SearchSpace, dataset: Dataset, patience: float) -> JobTimes:
    """What `run_job` does, timed."""
    config, device = workshop.config, torch.device(workshop.device)
    times, training = time_training(
        lambda changed: stand_alone_training(space, genome, changed, config.seed, device),
        dataset,
        workshop.train,
        device,
        config.resources.loader_workers,
        STAND_ALONE.times(patience),
    )
    path = workshop.checkpoint_path(Job(genome, 0, True))
    content = {"network": training.network.state_dict(), "optimizer": training.optimizer.state_dict()}
    save = timed(lambda: write_checkpoint(path, training.kind, content))
    scoring = 0.0
    for images in (dataset.validation, dataset.test):
        batches = ordered_batches(images, dataset, batch_size=config.evaluate.batch_size, device=device)
        scoring += time_scoring(
            lambda batches, seen: score_network(training.network, told(batches, seen)),
            batches, len(images), device, SCORING_SECONDS * patience,
        )  # fmt: skip
    cost = cost_table(space)(genome)
    return JobTimes(cost.madds, cost.params, times, save, scoring, path.stat().st_size)
