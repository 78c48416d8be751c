"""Product of a run: a trained network with everything needed to use it and to know its origin."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fairnas.errors import ExportError
from fairnas.export.facts import NOT_STATED, Aim, ClassCounts, ProductFacts
from fairnas.export.preprocessing import Preprocessing
from fairnas.nets import StandAlone
from fairnas.space import format_genome


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
    """Measured values: `test_top1`, `test_balanced_accuracy`, `one_shot_top1`, ..."""
    provenance: Mapping[str, str]
    """Origin of the network: recipe, seed, fairnas version, ..."""
    images: Mapping[str, int] = field(default_factory=dict)
    """Number of images of each split: `train`, `validation`, `test`."""
    aims: tuple[Aim, ...] = ()
    """Objectives of its search."""
    class_images: tuple[int, ...] = ()
    """Test images of each class; empty if they were not counted."""
    class_hits: tuple[int, ...] = ()
    """Correctly classified test images of each class."""
    licence: str | None = None
    """Licence of the weights, an SPDX expression such as `Apache-2.0`. It is the choice of their owner."""

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
        counted = {len(self.class_images), len(self.class_hits)}
        if counted not in ({0}, {len(self.classes)}):
            raise ExportError(
                f"{len(self.class_images)} counts of images and {len(self.class_hits)} of right ones for "
                f"{len(self.classes)} classes; give one per class, or none"
            )
        for name, value in self.measures.items():
            if not math.isfinite(value):
                raise ExportError(f"{name} is {value}; give a finite number, or leave a measure out")

    @property
    def genome(self) -> str:
        """Text form of the network's genome."""
        return format_genome(self.network.genome)

    def description(self) -> dict[str, str]:
        """Metadata in every file of a network: text by key, some of it JSON."""
        return {
            "genome": self.genome,
            "space": self.network.space.name,
            "classes": json.dumps(self.classes),
            "preprocessing": json.dumps(self.preprocessing.to_dict()),
            "licence": self.licence or NOT_STATED,
        }

    def facts(self) -> ProductFacts:
        """Facts about the network other than its weights."""
        return ProductFacts(
            genome=self.network.genome,
            space=self.network.space.name,
            classes=self.classes,
            preprocessing=self.preprocessing,
            measures=dict(self.measures),
            images=dict(self.images),
            test_classes=ClassCounts(self.class_images, self.class_hits),
            objectives=self.aims,
            provenance=dict(self.provenance),
            licence=self.licence or NOT_STATED,
        )
