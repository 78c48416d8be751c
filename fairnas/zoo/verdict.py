"""Our counts of a network beside the printed ones, and a computed verdict."""

import dataclasses
import functools
from typing import Any

import torch

from fairnas.nets import Cost, cost
from fairnas.nets.cost import cost_of
from fairnas.space import CATALOG
from fairnas.zoo.entry import Cells, ChainGenome, Printed, ZooEntry
from fairnas.zoo.networks import find, require_size

PUBLISHED_SIZE = 224
"""Pixels a side of the images that all printed figures are for."""


def row(name: str, image_size: int = PUBLISHED_SIZE) -> dict[str, Any]:
    """Compare our counts of a network, with 1000 classes, with the printed ones; also its origin, and a verdict.

    The verdict is `match` if both counts, rounded or cut, give the printed figures (the paper does either), else how
    far our counts are above or below. It says so if no comparison is possible: if the layers were never published
    (counts are None), if no counts were printed, or for images of another size.

    Raises:
        UnknownNameError: if there is no network of this name.
        SpaceError: if the network cannot take images of this size.
        UnpublishedError: for another image size than 224, if the network cannot be built.
    """
    entry = find(name)
    if image_size != PUBLISHED_SIZE:
        require_size(name, image_size)
    counted = _counted(name, image_size) if entry.architecture is not None else None
    chain = entry.architecture if isinstance(entry.architecture, ChainGenome) else None
    in_catalog = chain is not None and CATALOG.get(chain.space.name) == chain.space
    return {
        "name": name,
        "title": entry.title,
        "madds": None if counted is None else counted.madds,
        "params": None if counted is None else counted.params,
        "image_size": image_size,
        "paper": dataclasses.asdict(entry.printed),
        "verdict": _verdict(entry, counted, image_size),
        "publication": entry.publication,
        "year": entry.year,
        "source": entry.listed,
        "space": chain.space.name if chain is not None and in_catalog else None,
        "genome": chain.genome if chain is not None and in_catalog else None,
        "layers": None if chain is None else list(chain.space.labels(chain.space.parse(chain.genome))),
        "note": entry.note,
    }


@functools.cache
def _counted(name: str, image_size: int) -> Cost:
    architecture = find(name).architecture
    assert architecture is not None
    if isinstance(architecture, Cells):
        with torch.device("meta"):
            return cost_of(architecture.make(1000, 0.0), torch.empty(1, 3, image_size, image_size))
    return cost(architecture.space.for_data(image_size=image_size), architecture.genome)


def _verdict(entry: ZooEntry, counted: Cost | None, image_size: int) -> str:
    if counted is None:
        return "not reproducible: never published"
    if image_size != PUBLISHED_SIZE:
        return f"printed for {PUBLISHED_SIZE} pixels"
    differences = _differences(counted, entry.printed)
    if not differences:
        return "no printed counts"
    differing = [f"{what} {percent:+.1f} %" for what, percent in differences.items() if percent]
    return f"differs by {', '.join(differing)}" if differing else "match"


def _differences(counted: Cost, printed: Printed) -> dict[str, float]:
    """Per cent by which our counts exceed the printed ones, where there are any."""
    beside = {
        "MAdds": (counted.madds, printed.madds_millions, 1_000_000),
        "params": (counted.params, printed.params_millions, 100_000),
    }
    return {what: _difference(*each) for what, each in beside.items() if each[1] is not None}


def _difference(count: int, millions: float | None, unit: int) -> float:
    """Percentage by which a count exceeds a figure printed in steps of `unit`; 0 if it rounds to that figure."""
    assert millions is not None
    printed = round(millions * 1_000_000 / unit)
    if printed in (count // unit, (count + unit // 2) // unit):
        return 0.0
    return 100 * (count / (printed * unit) - 1)
