"""Training of one network from its first step to its result, with all measurements and saved files."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from fairnas.atomic_files import write_atomically
from fairnas.config import Measure
from fairnas.data import Dataset, ordered_batches
from fairnas.evaluate import score_network
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.training_job import Job, JobContext
from fairnas.randomness import derived_seed
from fairnas.rundir import RunDirectory
from fairnas.scores import NetworkScore, TrainingEpoch, TrainingResult
from fairnas.space import Genome, SearchSpace
from fairnas.train import (
    DivergedError,
    LoopOptions,
    Training,
    product_training,
    read_checkpoint,
    stand_alone_training,
    train,
    write_checkpoint,
)
from fairnas.train.product import Teacher

CURVE_POINTS = 12
"""Approximate number of measurements of the validation accuracy in a stand-alone training, evenly over its epochs."""


class TrainingRun(Protocol):
    """One training, from its first epoch to its result."""

    @property
    def training(self) -> Training:
        """Object of the training loop."""
        ...

    @property
    def curve(self) -> list[dict[str, Any]]:
        """Measurements after each epoch so far."""
        ...

    def on_epoch(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Measure after an epoch, counted from 1, with the epoch's mean loss and its last learning rate."""
        ...

    def finish(self) -> dict[str, Any]:
        """Score on validation and test images, keep the weights if wanted, and return fields of the result."""
        ...


class _Evaluator:
    """Scorer of networks on the images of a job's context."""

    def __init__(self, job_context: JobContext, dataset: Dataset) -> None:
        self.job_context, self.dataset = job_context, dataset

    def score(self, network: nn.Module, part: Literal["validation", "test"]) -> NetworkScore:
        images, batch_size = getattr(self.dataset, part), self.job_context.config.evaluate.batch_size
        device = torch.device(self.job_context.device)
        batches = ordered_batches(images, self.dataset, batch_size=batch_size, device=device)
        return score_network(network, batches)


class StandAloneRun:
    """Training with the supernet's hyper-parameters (paper B.2): the last weights are kept."""

    def __init__(self, job_context: JobContext, job: Job, space: SearchSpace, dataset: Dataset, seed: int) -> None:
        self._job_context, self._job, self._evaluator = job_context, job, _Evaluator(job_context, dataset)
        self.training = stand_alone_training(
            space, job.genome, job_context.train, seed, torch.device(job_context.device)
        )

    @property
    def curve(self) -> list[dict[str, Any]]:
        """See `TrainingRun`."""
        return self.training.curve

    def on_epoch(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """See `TrainingRun`."""
        last = self._job_context.train.epochs
        due = epoch % math.ceil(last / CURVE_POINTS) == 0 and epoch < last  # the last epoch is measured anyway
        found = self._evaluator.score(self.training.network, "validation") if due else None
        self.curve.append({"epoch": epoch, "loss": values["loss"], **_validated(found)})

    def finish(self) -> dict[str, Any]:
        """See `TrainingRun`. The last checkpoint holds the weights."""
        network = self.training.network
        found = {part: self._evaluator.score(network, part) for part in ("validation", "test")}
        if self.curve:  # the checkpoint of a network that was trained earlier may have none
            self.curve[-1] |= _validated(found["validation"])
        return found


class ProductRun:
    """Training by the product recipe: the weights with the best validation accuracy, by the run's measure, are kept."""

    def __init__(self, job_context: JobContext, job: Job, space: SearchSpace, dataset: Dataset, seed: int) -> None:
        assert job_context.product is not None
        self._job_context, self._job, self._evaluator = job_context, job, _Evaluator(job_context, dataset)
        settings, device = job_context.config.retrain, torch.device(job_context.device)
        self._teacher = job_context.product.teacher
        run = Experiment(RunDirectory(job_context.folder.parent), opened=(space, dataset), config=job_context.config)
        self.training = product_training(
            space, job.genome, settings, job_context.train, seed, device,
            inherit=run.supernet if settings.initial == "inherit" else None,
            teacher=_teacher(run, self._teacher) if self._teacher is not None else None,
        )  # fmt: skip

    @property
    def curve(self) -> list[dict[str, Any]]:
        """See `TrainingRun`."""
        return self.training.curve

    def on_epoch(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """See `TrainingRun`."""
        training, last = self.training, self._job_context.train.epochs
        row = {"epoch": epoch, "loss": values["loss"], "lr": values["lr"]}
        found = raw = None
        if epoch in measured_epochs(last, self._job_context.config.retrain.validations):
            found = raw = self._evaluator.score(training.kept, "validation")
            if training.average is not None:
                raw = self._evaluator.score(training.network, "validation")
            training.consider(epoch, found.accuracy(self._job_context.config.measure))
        self.curve.append(row | _validated(found) | _validated(raw, "raw_"))

    def finish(self) -> dict[str, Any]:
        """See `TrainingRun`. Only here the test images are used."""
        best, network, path = self.training.best, self.training.network, self._job_context.weights_path(self._job)
        assert best is not None, "the last epoch is measured"
        network.load_state_dict(best.weights)
        found = {part: self._evaluator.score(network, part) for part in ("validation", "test")}
        if self._job.keep_weights:
            content = {"identity": self._job_context.identity, "network": network.state_dict()}
            write_checkpoint(path, "stand-alone network", content)
        settings = self._job_context.config.retrain
        return found | {
            "recipe": settings.recipe,
            "initial": settings.initial,
            "teacher": self._teacher,
            "best_epoch": best.epoch,
        }


def _validated(found: NetworkScore | None, above: str = "") -> dict[str, float | None]:
    """Accuracies of a row on the validation images by every measure; None if not measured."""
    return {f"{above}validation_{name}": None if found is None else found.accuracy(name) for name in get_args(Measure)}


def measured_epochs(epochs: int, wanted: int | None) -> frozenset[int]:
    """Epochs, from 1, after which validation accuracy is measured: all, or `wanted` of them including the last."""
    count = min(wanted or epochs, epochs)
    return frozenset(round(number * epochs / count) for number in range(1, count + 1))


def _teacher(run: Experiment, genome: Genome) -> Teacher:
    """Path of the supernet as teacher, in evaluation mode, with BN as in scoring."""
    scorer = run.scorer
    scorer.prepare([genome])

    def logits(images: Tensor) -> Tensor:
        found: list[Tensor] = []
        scorer.logits([genome], images, lambda _, each: found.append(each))
        return found[0]

    return logits


def make_training_run(
    job_context: JobContext, job: Job, space: SearchSpace, dataset: Dataset, seed: int
) -> TrainingRun:
    """Make the training of a job."""
    kind = StandAloneRun if job_context.product is None else ProductRun
    return kind(job_context, job, space, dataset, seed)


def run_job(
    job_context: JobContext, job: Job, space: SearchSpace, dataset: Dataset, options: LoopOptions
) -> TrainingResult:
    """Train one network, score it on validation and test images, write its result."""
    seed = derived_seed(job_context.config.seed, "stand-alone", job.seed)
    training_run = make_training_run(job_context, job, space, dataset, seed)
    checkpoint = job_context.checkpoint_path(job)
    job_context.result_path(job).unlink(missing_ok=True)
    _make_way(checkpoint, job_context, training_run.training.kind)
    about = (job.genome, job.seed, job_context.identity, job_context.train.epochs)
    try:
        resources = job_context.config.resources
        options = LoopOptions(
            checkpoint=checkpoint,
            identity=job_context.identity,
            legacy_identities=job_context.legacy_identities,
            seconds=resources.checkpoint_seconds,
            steps=resources.checkpoint_steps,
            on_epoch=training_run.on_epoch,
            on_progress=options.on_progress,
            on_resume=options.on_resume,
            stop=options.stop,
        )
        train(training_run.training, dataset, job_context.train, seed, options)
    except DivergedError as error:
        found: dict[str, Any] = {"status": "diverged", "reason": str(error)}
    else:
        found = {"status": "done", **training_run.finish()}
        if job.keep_weights:
            job_context.seal(job)
    result = TrainingResult(*about, **found, curve=tuple(TrainingEpoch(**row) for row in training_run.curve))
    write_atomically(job_context.result_path(job), (json.dumps(result.to_dict(), indent=1) + "\n").encode())
    if job_context.weights_path(job) != checkpoint or not job_context.has_weights(job):
        checkpoint.unlink(missing_ok=True)
    return result


def _make_way(checkpoint: Path, job_context: JobContext, kind: str) -> None:
    """Drop what a training with other settings has left: the run's settings have changed since, so nobody wants it."""
    if checkpoint.exists():
        identity = read_checkpoint(checkpoint, kind).get("identity")
        if identity not in (job_context.identity, *job_context.legacy_identities):
            checkpoint.unlink()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread while this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
