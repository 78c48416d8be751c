"""Data set of a run: three splits, classes, mean and deviation, and the findings about its images."""

import dataclasses
from dataclasses import dataclass

import torch

from fairnas.config import Augmentation, Fit
from fairnas.data.decoding import Decoding
from fairnas.data.finding import Finding, messages
from fairnas.data.images import Images, StreamedImages
from fairnas.data.summary import DataSummary


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in three splits.

    `train` trains the supernet, `validation` scores genomes during the search, `test` evaluates stand-alone
    networks. `mean` and `std` are per channel, of training pixels scaled to [0, 1]. `findings` tell the user, in one
    line each, what is unusual about the images. `fingerprint` is equal for equal files in equal splits, whatever the
    name of the folder.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int
    image_channels: int
    train: Images
    validation: Images
    test: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation
    findings: tuple[Finding, ...]
    fingerprint: str
    fit: Fit = "crop"
    """Method that makes images square."""
    value_range: tuple[float, float] | None = None
    """Values that become black and white, for images of more than 8 bits; None if there are none."""

    @property
    def decoding(self) -> Decoding:
        """Decoding of files to pixels, for exported networks to repeat."""
        return Decoding(self.image_size, self.image_channels, self.fit, self.value_range)

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines of the findings."""
        return messages(self.findings)

    def decoded_by(self, workers: int) -> "Dataset":
        """The same data set, with its streamed images decoded by this number of processes, at most one per core."""
        parts = {split: getattr(self, split) for split in ("train", "validation", "test")}
        streamed = {split: images for split, images in parts.items() if isinstance(images, StreamedImages)}
        return dataclasses.replace(
            self, **{split: dataclasses.replace(images, workers=workers) for split, images in streamed.items()}
        )

    def summary(self) -> DataSummary:
        """The facts, for `data.json`."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return DataSummary(
            name=self.name,
            classes=self.classes,
            image_size=self.image_size,
            image_channels=self.image_channels,
            mean=self.mean,
            std=self.std,
            counts={split: len(images) for split, images in splits.items()},
            class_counts={
                split: tuple(torch.bincount(images.labels, minlength=len(self.classes)).tolist())
                for split, images in splits.items()
            },
            augmentation=self.augmentation,
            fit=self.fit,
            value_range=self.value_range,
            fingerprint=self.fingerprint,
            findings=self.findings,
        )
