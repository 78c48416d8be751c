"""Entry of the zoo: where a network was published, where its layers are listed, and its printed figures."""

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
    """Milliseconds on one large core of a Google Pixel 1."""
    top1: float
    """Percent."""
    top5: float | None
    """Percent."""


@dataclass(frozen=True)
class ChainGenome:
    """Network as a genome, either of a space in the catalog or of a space of its own with one choice per layer."""

    space: SearchSpace
    genome: str
    """Text form."""


@dataclass(frozen=True)
class Cells:
    """Network of cells, which no chain can express."""

    make: Callable[[int, float], nn.Module]
    """Factory, called with the number of classes and the dropout before the classifier; uses the default device."""
    reduction: int
    """Factor by which the network shrinks the image's side."""


@dataclass(frozen=True)
class ZooEntry:
    """One published network."""

    name: str
    title: str
    """Name as printed."""
    publication: str
    year: int
    listed: str
    """Place where its layers are listed."""
    architecture: ChainGenome | Cells | None
    """Architecture; None if it was never published."""
    printed: Printed
    note: str = ""
    """Explanation of a difference, or reason that it cannot be built."""
