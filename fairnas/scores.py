"""Accuracies of a network, and the result of one stand-alone training.

A score has the same names wherever it goes: `top1`, `balanced_accuracy`, `top5`, `loss`, `balanced_loss`. No torch.
"""

from dataclasses import dataclass
from typing import Any, Literal

from fairnas.config import Measure
from fairnas.record import AnyFloat, Record
from fairnas.space.genome import StoredGenome


@dataclass(frozen=True)
class Score:
    """Accuracies and losses of one network on a set of images. Accuracies are fractions of `images`."""

    top1: float
    top5: float
    loss: AnyFloat
    """Mean cross-entropy."""
    images: int
    balanced_accuracy: float
    """Mean, over the classes with images, of the share of images classified right. Equals `top1` if classes are equally
    large.
    """
    balanced_loss: AnyFloat
    """Mean over the classes of their mean cross-entropy."""

    def accuracy(self, measure: Measure) -> float:
        """Return the accuracy by a measure."""
        return self.top1 if measure == "top1" else self.balanced_accuracy


@dataclass(frozen=True)
class NetworkScore(Score):
    """A `Score` with the counts of each class."""

    class_hits: tuple[int, ...]
    """Images classified right, per class."""
    class_images: tuple[int, ...]
    """Images per class."""

    def __post_init__(self) -> None:
        if len(self.class_hits) != len(self.class_images) or not any(self.class_images):
            raise ValueError(f"{len(self.class_hits)} counts of {len(self.class_images)} classes, or no images")


@dataclass(frozen=True)
class TrainingEpoch:
    """Measurements after one epoch of a training. Accuracies are None if they were not measured."""

    epoch: int
    """Number of the epoch, from 1."""
    loss: AnyFloat
    """Mean over the epoch; may be NaN or infinite if the training diverges."""
    lr: float | None = None
    """Last learning rate of the epoch; like the raw accuracies, known only for the product recipe."""
    validation_top1: float | None = None
    validation_balanced_accuracy: float | None = None
    raw_validation_top1: float | None = None
    """Accuracy of the weights themselves, where `validation_top1` is that of their moving average."""
    raw_validation_balanced_accuracy: float | None = None

    def validation(self, measure: Measure) -> float | None:
        """Return the validation accuracy by a measure."""
        return self.validation_top1 if measure == "top1" else self.validation_balanced_accuracy


@dataclass(frozen=True)
class TrainingResult(Record):
    """Result of training one network with one seed; one file of `stand_alone/` or `retrained/`."""

    genome: StoredGenome
    seed: int
    identity: str
    """Hash of the settings that the training depends on."""
    epochs: int
    status: Literal["done", "diverged"]
    reason: str | None = None
    """Cause of divergence; None if it did not diverge."""
    validation: NetworkScore | None = None
    """Score on the validation images; like `test`, None if the training diverged."""
    test: NetworkScore | None = None
    recipe: str | None = None
    """Recipe; like the next three fields, known only for the product recipe."""
    initial: str | None = None
    """Source of the initial weights."""
    teacher: StoredGenome | None = None
    """Path of the supernet that taught the network by distillation, if any."""
    best_epoch: int | None = None
    """Epoch whose weights were kept."""
    curve: tuple[TrainingEpoch, ...] = ()
    """Measurements after each epoch."""

    def __post_init__(self) -> None:
        if (self.status == "done") != (self.validation is not None and self.test is not None):
            raise ValueError(f"status is '{self.status}', and scores are there or not as if it were another")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, without the fields that this training does not have."""
        plain = super().to_dict()
        for name in ("reason", "validation", "test"):
            if plain[name] is None:
                del plain[name]
        if self.recipe is None:
            for name in _OF_PRODUCT:
                del plain[name]
        for row in plain["curve"]:
            if row["lr"] is None:
                for name in _OF_PRODUCT_EPOCHS:
                    del row[name]
        return plain


_OF_PRODUCT = ("recipe", "initial", "teacher", "best_epoch")
_OF_PRODUCT_EPOCHS = ("lr", "raw_validation_top1", "raw_validation_balanced_accuracy")
