"""Published networks as genomes of our spaces: where they come from, what the paper prints, what we count."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from fairnas.errors import UnknownNameError
from fairnas.nets import StandAlone, build, cost
from fairnas.space import get_space


@dataclass(frozen=True)
class PaperFigures:
    """A row of the paper's Table 2, as printed: ImageNet; latency on one large core of a Google Pixel 1."""

    madds_millions: int
    params_millions: float
    latency_ms: float | None
    top1: float
    """Percent."""
    top5: float | None
    """Percent."""


@dataclass(frozen=True)
class ZooEntry:
    """One published network."""

    name: str
    space: str
    """Name of a space in the catalog."""
    genome: str
    """Text form."""
    source: str
    """Where the architecture is published."""
    paper: PaperFigures


_AUTHORS = "FairNAS (arXiv 1907.01845), Figure 7, and the model files that its authors released"

_ENTRIES = (
    ZooEntry("fairnas_a", "proxyless", "2023500551311335354", _AUTHORS, PaperFigures(388, 4.6, 104, 75.34, 92.4)),
    ZooEntry("fairnas_b", "proxyless", "1010312031032054534", _AUTHORS, PaperFigures(345, 4.5, 90, 75.10, 92.3)),
    ZooEntry("fairnas_c", "proxyless", "1020000003000055334", _AUTHORS, PaperFigures(321, 4.4, 83, 74.69, 92.1)),
    ZooEntry(
        "mobilenet_v2",
        "mobilenet_v2",
        "3" * 16,  # kernel 3 and expansion 6 everywhere
        "MobileNetV2 (arXiv 1801.04381), Table 2",
        PaperFigures(300, 3.4, 78, 72.0, 91.0),
    ),
)

NETWORKS: dict[str, ZooEntry] = {entry.name: entry for entry in _ENTRIES}


def create(name: str, num_classes: int = 1000, *, seed: int = 0, dropout: float = 0.0) -> StandAlone:
    """A published network, untrained.

    Args:
        name: one of `NETWORKS`.
        num_classes: outputs of the classifier.
        seed: of the initial weights.
        dropout: before the classifier.

    Returns:
        A network for images (B, 3, H, W); 224 pixels as published, other sizes work too.

    Raises:
        UnknownNameError: if there is no network of this name.
        SpaceError: if `num_classes` is below 1.
    """
    entry = _entry(name)
    space = get_space(entry.space).for_data(num_classes=num_classes)
    return build(space, entry.genome, seed=seed, dropout=dropout)


def row(name: str) -> dict[str, Any]:
    """Our counts of a network, at 224 pixels and 1000 classes, beside the paper's.

    The verdict is `match` if both counts, rounded or cut, give the printed figures (the paper does either),
    else `differs by`, with how far our count is above or below the printed figure.

    Raises `UnknownNameError` if there is no network of this name.
    """
    entry = _entry(name)
    counted = cost(get_space(entry.space), entry.genome)
    differences = {
        "madds": _difference(counted.madds, entry.paper.madds_millions, unit=1_000_000),
        "params": _difference(counted.params, entry.paper.params_millions, unit=100_000),
    }
    differing = [f"{percent:+.1f} % in {what}" for what, percent in differences.items() if percent]
    return {
        "name": name,
        "madds": counted.madds,
        "params": counted.params,
        "paper": dataclasses.asdict(entry.paper),
        "genome": entry.genome,
        "space": entry.space,
        "source": entry.source,
        "verdict": f"differs by {', '.join(differing)}" if differing else "match",
    }


def _difference(count: int, millions: float, unit: int) -> float:
    """Per cent by which a count exceeds a figure printed in steps of `unit`; 0 if it is printed so."""
    printed = round(millions * 1_000_000 / unit)
    if printed in (count // unit, (count + unit // 2) // unit):
        return 0.0
    return 100 * (count / (printed * unit) - 1)


def _entry(name: str) -> ZooEntry:
    if name not in NETWORKS:
        raise UnknownNameError("network", name, NETWORKS)
    return NETWORKS[name]
