"""Retrain stage: the selected networks, trained for use.

Trains with the supernet's hyper-parameters, or by the product recipe.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass

from fairnas.config import RunConfig, TrainConfig
from fairnas.data import Dataset
from fairnas.errors import ConfigError, RunDirectoryError
from fairnas.pipeline.experiment import Experiment, stand_alone_config
from fairnas.pipeline.job_pool import run_experiment_jobs
from fairnas.pipeline.job_run import CURVE_POINTS, measured_epochs
from fairnas.pipeline.scoring import evaluation_setting
from fairnas.pipeline.search_stage import front_and_selected, known_candidates
from fairnas.pipeline.training_job import Job, JobContext, ProductWork
from fairnas.pipeline.workers import Workers
from fairnas.space import Genome, SearchSpace, format_genome
from fairnas.train import strategy_facts, training_steps
from fairnas.train.product import IMAGES_OF_THE_RATE


@dataclass(frozen=True)
class TrainingLength:
    """Length of the training of one network."""

    epochs: int
    batch_size: int
    """Number of images per step."""
    steps: int
    """Total number of steps."""
    validations: int
    """Passes over the validation images during training; networks of the product recipe are scored twice in each."""


def retrain_config(config: RunConfig) -> TrainConfig:
    """Epochs, mini-batches and learning rate of the trainings for use; the highest rate for the product recipe."""
    ours, alone = config.retrain, stand_alone_config(config)
    if ours.recipe == "supernet":
        return alone
    batch_size = ours.batch_size or alone.batch_size
    return dataclasses.replace(
        alone,
        epochs=ours.epochs or alone.epochs,
        batch_size=batch_size,
        lr=ours.lr * batch_size / IMAGES_OF_THE_RATE,
        clip_norm=ours.clip_norm,
    )


def retraining_length(config: RunConfig, dataset: Dataset) -> TrainingLength:
    """Length of the training of one network for use."""
    train = retrain_config(config)
    if config.retrain.recipe == "product":
        validations = len(measured_epochs(train.epochs, config.retrain.validations))
    else:
        validations = math.ceil(train.epochs / math.ceil(train.epochs / CURVE_POINTS))
    return TrainingLength(
        epochs=train.epochs,
        batch_size=min(train.batch_size, len(dataset.train)),
        steps=train.epochs * training_steps(dataset, train, 1),
        validations=validations,
    )


def require_retrainable(config: RunConfig, space: SearchSpace, dataset: Dataset) -> None:
    """Raise `ConfigError` if settings of the retraining do not fit the images or the supernet's strategy."""
    side = config.retrain.cutout
    if side >= dataset.image_size:
        raise ConfigError(
            f"retrain.cutout is {side} pixels, which blanks images of {dataset.image_size}; give less, or 0 for none"
        )
    strategy = strategy_facts(config.train, space.choices)
    if config.retrain.initial == "inherit" and strategy.has_own_networks:
        raise ConfigError(
            f"retrain.initial is 'inherit', but '{config.train.strategy}' makes weights for each network, "
            "which its blocks don't hold; give 'scratch'"
        )


def retrain_context(experiment: Experiment) -> JobContext:
    """Shared settings of the trainings for use. With the supernet's recipe they are those of the ranking study."""
    config, train = experiment.config, retrain_config(experiment.config)
    known = [experiment.identity_of(train), *experiment.longer_identities_of(train, "stand_alone.epochs")]
    product = None
    if config.retrain.recipe == "product":
        require_retrainable(config, experiment.space, experiment.dataset)
        product = ProductWork(teacher_of(experiment) if config.retrain.distillation else None)
        # the measure decides which weights are kept
        settled = [dataclasses.asdict(config.retrain), product.teacher, _learned_from(experiment), config.measure]
        known = [hashlib.sha256(json.dumps([each, *settled], sort_keys=True).encode()).hexdigest() for each in known]
    folder = experiment.run.path / config.retrain.folder
    return JobContext(config, train, known[0], folder, experiment.device.type, product, tuple(known[1:]))


def _learned_from(experiment: Experiment) -> str | None:
    """Hash of the supernet, if its weights or accuracies affect the trainings."""
    ours = experiment.config.retrain
    if ours.distillation:
        return evaluation_setting(experiment)
    return experiment.weights_digest if ours.initial == "inherit" else None


def teacher_of(experiment: Experiment) -> Genome:
    """Network with the best one-shot accuracy among all that the run's supernet has scored.

    Raises `RunDirectoryError` if there are none.
    """
    known = known_candidates(experiment)
    if not known:
        raise RunDirectoryError(
            f"{experiment.run.path} has no scored network that could teach others; "
            "search longer, or give retrain.distillation 0"
        )
    measure = experiment.config.measure
    return min(known, key=lambda candidate: (-candidate.value(measure), candidate.genome)).genome


def retrain(experiment: Experiment, workers: Workers | None = None) -> tuple[str, ...]:
    """Train the selected networks, and those that the configuration names, for use; keep their weights.

    Args:
        experiment: run whose search is finished.
        workers: workers to train on; default: those of the run's resources.
    """
    job_context, jobs = retrain_context(experiment), [Job(genome, 0, True) for genome in retrained_genomes(experiment)]
    results = run_experiment_jobs(experiment, job_context, jobs, workers)
    for job, result in zip(jobs, results, strict=True):
        if result.status == "diverged":
            experiment.narrator.say(f"{format_genome(job.genome)} diverged: {result.reason}")
    kept = [job for job, result in zip(jobs, results, strict=True) if result.status == "done"]
    paths = [
        *map(job_context.result_path, jobs),
        *map(job_context.weights_path, kept),
        *map(job_context.seal_path, kept),
    ]
    return tuple(f"{job_context.folder.name}/{path.name}" for path in paths)


def retrained_genomes(experiment: Experiment) -> tuple[Genome, ...]:
    """Networks to retrain and export: the selected ones, heaviest first, then the configured ones."""
    _, selected = front_and_selected(experiment)
    return tuple(dict.fromkeys([*(candidate.genome for candidate in selected), *experiment.named]))
