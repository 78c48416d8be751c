"""What happens around the steps of one network's training: what is measured when, and what is kept at the end."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from fairnas.config import Measure
from fairnas.data import Dataset, ordered_batches
from fairnas.evaluate import score_network
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.workshop import Job, Workshop
from fairnas.rundir import RunDirectory
from fairnas.space import Genome, SearchSpace, format_genome
from fairnas.train import Training, product_training, stand_alone_training, write_checkpoint
from fairnas.train.product import Teacher

CURVE_POINTS = 12
"""About how often the validation accuracy is measured in a stand-alone training, evenly over its epochs."""


class Course(Protocol):
    """One training, from its first epoch to its result."""

    @property
    def training(self) -> Training:
        """What is trained."""
        ...

    @property
    def curve(self) -> list[dict[str, Any]]:
        """Measurements after each epoch so far."""
        ...

    def on_epoch(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Measure after an epoch, counted from 1, with the epoch's mean loss and its last learning rate."""
        ...

    def finish(self) -> dict[str, Any]:
        """Score on validation and test images, keep the weights if they are wanted, and return what to record."""
        ...


class _Examiner:
    """Scores networks on the images of a workshop's data."""

    def __init__(self, workshop: Workshop, dataset: Dataset) -> None:
        self.workshop, self.dataset = workshop, dataset

    def score(self, network: nn.Module, part: Literal["validation", "test"]) -> dict[str, Any]:
        images, batch_size = getattr(self.dataset, part), self.workshop.config.evaluate.batch_size
        device = torch.device(self.workshop.device)
        batches = ordered_batches(images, self.dataset, batch_size=batch_size, device=device)
        found = asdict(score_network(network, batches))
        return {key: list(each) if isinstance(each, tuple) else each for key, each in found.items()}  # as from a file


class StandAloneCourse:
    """A training with the supernet's hyper-parameters (paper B.2): the last weights count."""

    def __init__(self, workshop: Workshop, job: Job, space: SearchSpace, dataset: Dataset, seed: int) -> None:
        self._workshop, self._job, self._examiner = workshop, job, _Examiner(workshop, dataset)
        self.training = stand_alone_training(space, job.genome, workshop.train, seed, torch.device(workshop.device))

    @property
    def curve(self) -> list[dict[str, Any]]:
        """See `Course`."""
        return self.training.curve

    def on_epoch(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """See `Course`."""
        last = self._workshop.train.epochs
        due = epoch % math.ceil(last / CURVE_POINTS) == 0 and epoch < last  # what comes last is measured anyway
        found = self._examiner.score(self.training.network, "validation") if due else None
        self.curve.append({"epoch": epoch, "loss": values["loss"], **_validated(found)})

    def finish(self) -> dict[str, Any]:
        """See `Course`. The last checkpoint holds the weights."""
        network = self.training.network
        found = {part: self._examiner.score(network, part) for part in ("validation", "test")}
        if self.curve:  # the checkpoint of a network that was trained earlier may hold none
            self.curve[-1] |= _validated(found["validation"])
        return found


class ProductCourse:
    """A training by the product recipe: the weights with the best validation accuracy, by the run's measure, count."""

    def __init__(self, workshop: Workshop, job: Job, space: SearchSpace, dataset: Dataset, seed: int) -> None:
        assert workshop.product is not None
        self._workshop, self._job, self._examiner = workshop, job, _Examiner(workshop, dataset)
        settings, device = workshop.config.retrain, torch.device(workshop.device)
        self._teacher = workshop.product.teacher
        run = Experiment(RunDirectory(workshop.folder.parent), opened=(space, dataset), config=workshop.config)
        self.training = product_training(
            space, job.genome, settings, workshop.train, seed, device,
            inherit=run.supernet if settings.initial == "inherit" else None,
            teacher=_teacher(run, self._teacher) if self._teacher is not None else None,
        )  # fmt: skip

    @property
    def curve(self) -> list[dict[str, Any]]:
        """See `Course`."""
        return self.training.curve

    def on_epoch(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """See `Course`."""
        training, last = self.training, self._workshop.train.epochs
        row = {"epoch": epoch, "loss": values["loss"], "lr": values["lr"]}
        found = raw = None
        if epoch in measured_epochs(last, self._workshop.config.retrain.validations):
            found = raw = self._examiner.score(training.kept, "validation")
            if training.average is not None:
                raw = self._examiner.score(training.network, "validation")
            training.consider(epoch, found[self._workshop.config.measure])
        self.curve.append(row | _validated(found) | _validated(raw, "raw_"))

    def finish(self) -> dict[str, Any]:
        """See `Course`. The test images are looked at here, and nowhere else."""
        best, network, path = self.training.best, self.training.network, self._workshop.weights_path(self._job)
        assert best is not None, "the last epoch is measured"
        network.load_state_dict(best.weights)
        found = {part: self._examiner.score(network, part) for part in ("validation", "test")}
        if self._job.keep_weights:
            content = {"identity": self._workshop.identity, "network": network.state_dict()}
            write_checkpoint(path, "stand-alone network", content)
        settings = self._workshop.config.retrain
        return found | {
            "recipe": settings.recipe,
            "initial": settings.initial,
            "teacher": self._teacher and format_genome(self._teacher),
            "best_epoch": best.epoch,
        }


def _validated(found: Mapping[str, Any] | None, above: str = "") -> dict[str, float | None]:
    """A row's accuracies on the validation images by every measure; None where they were not looked at."""
    return {f"{above}validation_{name}": None if found is None else found[name] for name in get_args(Measure)}


def measured_epochs(epochs: int, wanted: int | None) -> frozenset[int]:
    """Epochs, from 1, after which validation accuracy is measured: all, or as many as wanted, the last among them."""
    count = min(wanted or epochs, epochs)
    return frozenset(round(number * epochs / count) for number in range(1, count + 1))


def _teacher(run: Experiment, genome: Genome) -> Teacher:
    """A path of the supernet as it is scored: BN as the evaluator has it, weights at rest."""
    judge = run.judge
    judge.prepare([genome])

    def logits(images: Tensor) -> Tensor:
        found: list[Tensor] = []
        judge.logits([genome], images, lambda _, each: found.append(each))
        return found[0]

    return logits


def course_of(workshop: Workshop, job: Job, space: SearchSpace, dataset: Dataset, seed: int) -> Course:
    """The training of a job, at its beginning."""
    kind = StandAloneCourse if workshop.product is None else ProductCourse
    return kind(workshop, job, space, dataset, seed)
