"""What leaves a run: a trained network with all that is needed to use it and to know where it comes from."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairnas.errors import FairnasError
from fairnas.nets import StandAlone
from fairnas.space import format_genome


class ExportError(FairnasError):
    """A network that cannot be exported, or an ONNX model that does not compute what the network computes."""


@dataclass(frozen=True)
class Preprocessing:
    """From image to input: resize, scale pixels to 0..1, subtract `mean`, divide by `std`."""

    image_size: int
    """Side of the square image in pixels."""
    image_channels: int
    """3 for colour, 1 for grey."""
    mean: tuple[float, ...]
    """Per channel, of pixels scaled to 0..1."""
    std: tuple[float, ...]
    """Per channel, of pixels scaled to 0..1."""

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.image_channels:
                raise ExportError(
                    f"preprocessing.{name} has {len(values)} numbers for {self.image_channels} channels; "
                    "give one per channel"
                )
            _check_finite({f"preprocessing.{name}": value for value in values})
        if min(self.std) <= 0:
            raise ExportError(f"preprocessing.std holds {min(self.std)}; give numbers above 0")

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {**dataclasses.asdict(self), "mean": list(self.mean), "std": list(self.std)}


@dataclass(frozen=True)
class Product:
    """One trained network, ready to be exported.

    The network may be in any mode, on any device and in any memory format; exporting does not change it.
    Raises `ExportError` when made of parts that contradict each other.
    """

    network: StandAlone
    classes: tuple[str, ...]
    """Names of the outputs, in order."""
    preprocessing: Preprocessing
    measures: Mapping[str, float]
    """What was measured: `test_top1`, `test_top5`, `one_shot_top1`, ..."""
    provenance: Mapping[str, str]
    """Where the network comes from: recipe, seed, fairnas version, ..."""

    def __post_init__(self) -> None:
        space, given = self.network.space, self.preprocessing
        if len(self.classes) != space.num_classes:
            raise ExportError(
                f"{len(self.classes)} class names for a network of {space.num_classes} outputs; "
                "give one name per output"
            )
        if (given.image_size, given.image_channels) != (space.image_size, space.image_channels):
            raise ExportError(
                f"preprocessing gives {given.image_size} pixels and {given.image_channels} channels, "
                f"the network takes {space.image_size} and {space.image_channels}; give that of its training"
            )
        _check_finite(self.measures)

    @property
    def genome(self) -> str:
        """Text form of the network's genome."""
        return format_genome(self.network.genome)


def _check_finite(values: Mapping[str, float]) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ExportError(f"{name} is {value}; give a finite number, or leave a measure out")
