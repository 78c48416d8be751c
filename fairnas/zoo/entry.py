"""What the zoo knows of a network: where it was published, where its layers are listed, what was printed of it."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from fairnas.errors import FairnasError
from fairnas.space import SearchSpace

TABLE_2 = "FairNAS, Table 2"


class UnpublishedError(FairnasError):
    """A network that cannot be built, because nobody but its authors knows its layers."""


@dataclass(frozen=True)
class Printed:
    """Figures of a network as printed: ImageNet, 224 pixels; None where nothing is printed."""

    where: str
    madds_millions: int | None
    params_millions: float | None
    latency_ms: float | None
    """On one large core of a Google Pixel 1."""
    top1: float
    """Percent."""
    top5: float | None
    """Percent."""


@dataclass(frozen=True)
class ChainGenome:
    """A network as a genome: of a space in the catalog, or of a space of its own that has one choice per layer."""

    space: SearchSpace
    genome: str
    """Text form."""


@dataclass(frozen=True)
class Cells:
    """A network of cells, which no chain can express."""

    make: Callable[[int, float], nn.Module]
    """From the number of classes and the dropout before the classifier; on whatever device is the default."""
    reduction: int
    """Factor by which the network shrinks the image's side."""


@dataclass(frozen=True)
class ZooEntry:
    """One published network."""

    name: str
    title: str
    """As printed."""
    publication: str
    year: int
    listed: str
    """Where its layers are listed."""
    architecture: ChainGenome | Cells | None
    """None if it was never published."""
    printed: Printed
    note: str = ""
    """What explains a difference, or why it cannot be built."""
