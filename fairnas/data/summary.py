"""`data.json`: the data that a run trains on. No torch."""

from dataclasses import dataclass

from fairnas.config import Augmentation, Fit
from fairnas.data.finding import Finding
from fairnas.record import Record


@dataclass(frozen=True)
class DataSummary(Record):
    """Content of `data.json`: facts about a data set, without its images."""

    name: str
    classes: tuple[str, ...]
    image_size: int
    image_channels: int
    mean: tuple[float, ...]
    """Mean per channel, as `std`, of training pixels scaled to [0, 1]."""
    std: tuple[float, ...]
    counts: dict[str, int]
    """Number of images in each split."""
    class_counts: dict[str, tuple[int, ...]]
    """Number of images in each class, by split."""
    augmentation: Augmentation
    fit: Fit
    """Way in which images that are not square become squares."""
    value_range: tuple[float, float] | None
    """Values that become black and white in images of more than 8 bits."""
    fingerprint: str
    """Hash of the files and splits."""
    findings: tuple[Finding, ...]
    """Findings about the data, and special treatment of files."""

    def __post_init__(self) -> None:
        for split, counts in self.class_counts.items():
            if len(counts) != len(self.classes) or min(counts, default=0) < 0:
                raise ValueError(
                    f"class_counts.{split} holds {len(counts)} counts of {len(self.classes)} classes, or one below 0"
                )

    @property
    def tested(self) -> tuple[tuple[str, int], ...]:
        """Every class with its number of test images, in the order of the classes; none if that is not known."""
        counts = self.class_counts.get("test", ())
        return tuple(zip(self.classes, counts, strict=True)) if sum(counts) else ()
