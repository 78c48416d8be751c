"""What networks are scored and trained to: the accuracies of a network, and the result of one stand-alone training.

A score has the same names wherever it goes: `top1`, `balanced_accuracy`, `top5`, `loss`, `balanced_loss`. No torch.
"""

from dataclasses import dataclass
from typing import Any, Literal

from fairnas.config import Measure
from fairnas.record import AnyFloat, Record
from fairnas.space.genome import StoredGenome


@dataclass(frozen=True)
class Score:
    """How well one network classifies a set of images. Accuracies are fractions of `images`."""

    top1: float
    top5: float
    loss: AnyFloat
    """Mean cross-entropy."""
    images: int
    balanced_accuracy: float
    """Mean over the classes of the share of their images that are classified right; classes without images are left
    out. That of equally large classes is `top1`."""
    balanced_loss: AnyFloat
    """Mean over the classes of their mean cross-entropy."""

    def accuracy(self, measure: Measure) -> float:
        """Accuracy by a measure."""
        return self.top1 if measure == "top1" else self.balanced_accuracy


@dataclass(frozen=True)
class NetworkScore(Score):
    """The same of an ordinary network, class by class."""

    class_hits: tuple[int, ...]
    """Per class, how many of its images have it as their best answer."""
    class_images: tuple[int, ...]
    """Per class, how many images it has."""

    def __post_init__(self) -> None:
        if len(self.class_hits) != len(self.class_images) or not any(self.class_images):
            raise ValueError(f"{len(self.class_hits)} counts of {len(self.class_images)} classes, or no images")


@dataclass(frozen=True)
class TrainingEpoch:
    """Measurements after one epoch of a training. Accuracies are None where they were not measured."""

    epoch: int
    """From 1."""
    loss: AnyFloat
    """Mean over the epoch; of a training that diverges it may be anything."""
    lr: float | None = None
    """The last learning rate of the epoch; known of the product recipe only, as the raw accuracies are."""
    validation_top1: float | None = None
    validation_balanced_accuracy: float | None = None
    raw_validation_top1: float | None = None
    """Of the weights themselves, where `validation_top1` is of their average."""
    raw_validation_balanced_accuracy: float | None = None

    def validation(self, measure: Measure) -> float | None:
        """Validation accuracy by a measure."""
        return self.validation_top1 if measure == "top1" else self.validation_balanced_accuracy


@dataclass(frozen=True)
class TrainingResult(Record):
    """One file of `stand_alone/` or `retrained/`: what became of the training of one network with one seed."""

    genome: StoredGenome
    seed: int
    identity: str
    """Hash of the settings that it depends on."""
    epochs: int
    status: Literal["done", "diverged"]
    reason: str | None = None
    """Why it diverged; None where it did not."""
    validation: NetworkScore | None = None
    """On the validation images; this and `test` are None where it diverged."""
    test: NetworkScore | None = None
    recipe: str | None = None
    """This and the next three are known of the product recipe only."""
    initial: str | None = None
    """What its weights began with."""
    teacher: StoredGenome | None = None
    """The path of the supernet that taught it, if one did."""
    best_epoch: int | None = None
    """The epoch that its weights are of."""
    curve: tuple[TrainingEpoch, ...] = ()
    """After each epoch."""

    def __post_init__(self) -> None:
        if (self.status == "done") != (self.validation is not None and self.test is not None):
            raise ValueError(f"status is '{self.status}', and scores are there or not as if it were another")

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what a training knows nothing of is left out."""
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
